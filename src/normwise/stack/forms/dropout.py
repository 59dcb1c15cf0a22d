"""Dropout of many runs: every run's masks come from its own stream, as if it trained alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

DROPOUTS = frozenset({F.dropout, F.dropout1d, F.dropout2d, F.dropout3d})
_BATCH_AXES = {F.dropout1d: 3, F.dropout3d: 5}  # with fewer, they take the input for one sample


class PerRun(float):
    """A number that differs between the runs of a stack; as a float it is the first run's."""

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


@dataclass(frozen=True)
class Site:
    """One dropout of a network's forward.

    Attributes:
        shape: of a run's mask.
        stride: of a run's mask in memory, which torch fills in this order.
        p: probability of zero.
        dtype: of the mask.
    """

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    p: float
    dtype: torch.dtype

    def p_of(self, run: int) -> float:
        """Return a run's probability of zero."""
        return self.p.values[run] if isinstance(self.p, PerRun) else self.p


class Masks:
    """The dropout masks of one forward.

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


def _site(kind: Callable[..., Tensor], input: Tensor, p: float) -> Site:
    if kind is F.dropout:
        like = torch.empty_like(input)
    else:  # whole channels
        leading = 2 if input.ndim == _BATCH_AXES.get(kind, input.ndim) else 1
        like = input.new_empty((*input.shape[:leading], *(1,) * (input.ndim - leading)))
    return Site(tuple(like.shape), like.stride(), p, input.dtype)


class Streams:
    """Draws the masks of all runs, each from the stream that it has when it trains alone.

    Args:
        seeds: one per run.
        device: of the masks.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device) -> None:
        self._generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]

    def draw(self, sites: Sequence[Site]) -> list[Tensor]:
        """Return a mask for every site, runs first: 0 with probability p, else 1 / (1 - p)."""
        return [self._draw(site) for site in sites]

    def _draw(self, site: Site) -> Tensor:
        runs, device = len(self._generators), self._generators[0].device
        span = 1 + sum((n - 1) * s for n, s in zip(site.shape, site.stride, strict=True))
        memory = torch.empty(runs * span, dtype=site.dtype, device=device)
        masks = memory.as_strided((runs, *site.shape), (span, *site.stride))
        for run, (mask, generator) in enumerate(zip(masks, self._generators, strict=True)):
            p = site.p_of(run)
            if p in (0, 1):  # torch draws nothing then
                mask.fill_(1 - p)
            else:
                mask.bernoulli_(1 - p, generator=generator).div_(1 - p)
        return masks

    def keep(self, runs: Sequence[int]) -> None:
        """Go on with these runs only."""
        self._generators = [self._generators[run] for run in runs]
