"""Dropout of many runs: every run's masks come from its own stream, as if it trained alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

DROPOUTS = frozenset({F.dropout, F.dropout1d, F.dropout2d, F.dropout3d})


class PerRun(float):
    """A number that differs between the runs of a stack; as a float it is the first run's."""

    values: tuple[float, ...]

    def __new__(cls, values: Sequence[float]) -> "PerRun":
        number = super().__new__(cls, values[0])
        number.values = tuple(values)
        return number

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
        input: Tensor,
        p: float = 0.5,
        training: bool = True,
        inplace: bool = False,
        *,
        is_feature: bool,
    ) -> Tensor:
        """Stand for `F.dropout`, or for `F.dropout2d` and its kin, which drop whole channels."""
        if not training:
            return input
        if self._masks is None:
            self.sites.append(self._site(input, p, is_feature))
            return input
        mask = next(self._masks)
        return input.mul_(mask) if inplace else input * mask

    def _site(self, input: Tensor, p: float, is_feature: bool) -> Site:
        if is_feature:
            like = input.new_empty((*input.shape[:2], *(1,) * (input.ndim - 2)))
        else:
            like = torch.empty_like(input)
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
            if p == 0:  # torch draws nothing then
                mask.fill_(1)
            else:
                mask.bernoulli_(1 - p, generator=generator).div_(1 - p)
        return masks

    def keep(self, runs: Sequence[int]) -> None:
        """Go on with these runs only."""
        self._generators = [self._generators[run] for run in runs]
