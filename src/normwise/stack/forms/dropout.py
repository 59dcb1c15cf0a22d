"""Random numbers of many runs: each draws from its own stream, as if it trained alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

DROPOUTS = frozenset({F.dropout, F.dropout1d, F.dropout2d, F.dropout3d})
FILLS: dict[Callable[..., Tensor], dict[str, float]] = {
    Tensor.bernoulli_: {"p": 0.5},
    Tensor.normal_: {"mean": 0.0, "std": 1.0},
    Tensor.uniform_: {"from": 0.0, "to": 1.0},
}
"""Methods that fill a tensor with random numbers, and their arguments with defaults."""
_BATCH_AXES = {F.dropout1d: 3, F.dropout3d: 5}  # with fewer, they take the input for one sample


class PerRun(float):
    """A number that differs between the runs of a stack; as a float it is the first run's.

    Arithmetic with other numbers is done for every run.
    """

    values: tuple[float, ...]

    def __new__(cls, values: Sequence[float]) -> "PerRun":  # noqa: D102
        number = super().__new__(cls, values[0])
        number.values = tuple(values)
        return number

    def of(self, runs: Sequence[int]) -> "PerRun":
        """Return the numbers of some runs."""
        return PerRun([self.values[run] for run in runs])

    def __bool__(self) -> bool:
        """Whether it is not 0 for any run."""
        return any(self.values)

    def __deepcopy__(self, memo: dict[int, Any]) -> "PerRun":
        return self


def _for_every_run(name: str) -> Callable[[PerRun, float], PerRun]:
    operation = getattr(float, name)

    def apply(self: PerRun, other: float) -> PerRun:
        if not isinstance(other, int | float):
            return NotImplemented
        others = other.values if isinstance(other, PerRun) else [other] * len(self.values)
        return PerRun([operation(a, b) for a, b in zip(self.values, others, strict=True)])

    return apply


for _name in ("add", "sub", "mul", "truediv", "pow"):
    for _operator in (f"__{_name}__", f"__r{_name}__"):
        setattr(PerRun, _operator, _for_every_run(_operator))


@dataclass(frozen=True)
class Site:
    """One place of a network's forward that draws random numbers.

    Attributes:
        shape: of a run's numbers.
        stride: of a run's numbers in memory, which torch fills in this order.
        dtype: of the numbers.
        fill: draws them, given a tensor, `numbers` and a generator.
        numbers: what decides their distribution, such as dropout's p.
    """

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype
    fill: Callable[..., Tensor]
    numbers: tuple[float, ...]

    def numbers_of(self, run: int) -> list[float]:
        """Return what decides a run's distribution."""
        return [each.values[run] if isinstance(each, PerRun) else each for each in self.numbers]


class Masks:
    """The dropout masks, and other random numbers, of one forward.

    Args:
        masks: one per site, as the forward of one run sees it, in the order of use; None to find
            the sites in a forward of one run alone, with dropout doing nothing.
    """

    def __init__(self, masks: Sequence[Tensor] | None = None) -> None:
        self.sites: list[Site] = []
        self._masks = None if masks is None else iter(masks)

    def dropout(
        self,
        kind: Callable[..., Tensor],
        input: Tensor,
        p: float = 0.5,
        training: bool = True,
        inplace: bool = False,
    ) -> Tensor:
        """Stand for a function in `DROPOUTS`, which is `kind`."""
        if not training:
            return input
        if self._masks is None:
            self.sites.append(_site(kind, input, p))
            return input
        mask = next(self._masks)
        return input.mul_(mask) if inplace else input * mask

    def fill(
        self,
        kind: Callable[..., Tensor],
        input: Tensor,
        *numbers: float,
        generator: torch.Generator | None = None,
        **named: float,
    ) -> Tensor:
        """Stand for a method in `FILLS`, which is `kind`."""
        given = FILLS[kind] | dict(zip(FILLS[kind], numbers, strict=False)) | named
        if generator is not None or any(isinstance(each, Tensor) for each in given.values()):
            return NotImplemented
        if self._masks is not None:
            return input.copy_(next(self._masks))
        shape, values = tuple(input.shape), tuple(given.values())
        self.sites.append(Site(shape, input.stride(), input.dtype, kind, values))
        return input.zero_()


def _site(kind: Callable[..., Tensor], input: Tensor, p: float) -> Site:
    if kind is F.dropout:
        like = torch.empty_like(input)
    else:  # whole channels
        leading = 2 if input.ndim == _BATCH_AXES.get(kind, input.ndim) else 1
        like = input.new_empty((*input.shape[:leading], *(1,) * (input.ndim - leading)))
    return Site(tuple(like.shape), like.stride(), input.dtype, _drop, (p,))


def _drop(mask: Tensor, p: float, generator: torch.Generator) -> Tensor:
    """Fill with 0 with probability p, else 1 / (1 - p)."""
    if p in (0, 1):  # torch draws nothing then
        return mask.fill_(1 - p)
    return mask.bernoulli_(1 - p, generator=generator).div_(1 - p)


class Streams:
    """Draws for all runs, for each from the stream that it has when it trains alone.

    Args:
        seeds: one per run.
        device: of the masks.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device) -> None:
        self._generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]

    def draw(self, sites: Sequence[Site]) -> list[Tensor]:
        """Return the numbers of every site, runs first."""
        return [self._draw(site) for site in sites]

    def _draw(self, site: Site) -> Tensor:
        runs, device = len(self._generators), self._generators[0].device
        span = 1 + sum((n - 1) * s for n, s in zip(site.shape, site.stride, strict=True))
        memory = torch.empty(runs * span, dtype=site.dtype, device=device)
        masks = memory.as_strided((runs, *site.shape), (span, *site.stride))
        for run, (mask, generator) in enumerate(zip(masks, self._generators, strict=True)):
            site.fill(mask, *site.numbers_of(run), generator=generator)
        return masks

    def keep(self, runs: Sequence[int]) -> None:
        """Go on with these runs only."""
        self._generators = [self._generators[run] for run in runs]
