"""The batches that training passes are given: their features, and whether they come again."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from normwise.evidence.tensors import has_values
from normwise.evidence.units import Units, UnitsMeter

_KEPT = 4096  # batches whose fingerprints are kept
_LOOKED_AT = 128  # values of a batch that make its fingerprint, each of which may miss the cache


@dataclass(frozen=True, eq=False)
class Batches:
    """What one module was given in training passes.

    Attributes:
        entry: path of the module that was called; empty for it itself.
        shape: of the first batch.
        input: by feature, or channel for images; None where inputs are not floating point
            or computed with gradients by another network.
        count: how many batches.
        ids: one number per batch, of the first 4096 at most, equal for batches that hold the same
            samples in the same order.

    Example:
        >>> meter = BatchesMeter("")
        >>> for seed in [0, 1, 2, 0, 1, 2]:
        ...     meter.add(torch.full((4, 3), float(seed)), measured=True)
        >>> meter.result().period
        3
    """

    entry: str
    shape: tuple[int, ...]
    input: Units | None
    count: int
    ids: np.ndarray

    @property
    def period(self) -> int | None:
        """After how many batches all come again in the same order, at least twice; or None."""
        again = np.flatnonzero(self.ids == self.ids[0])[1:] if len(self.ids) else []
        for period in again:
            if len(self.ids) >= 2 * period and (self.ids[period:] == self.ids[:-period]).all():
                return int(period)
        return None


class BatchesMeter:
    """Takes the first tensor that a module is given, at every training pass."""

    def __init__(self, entry: str) -> None:
        self._entry = entry
        self._shape: tuple[int, ...] = ()
        self._count = 0
        self._units = UnitsMeter()
        self._prints: Tensor | None = None
        self._printed = 0
        self._complete = True

    def add(self, batch: Tensor, *, measured: bool) -> None:
        """Note a batch."""
        self._shape = self._shape or tuple(batch.shape)
        readable = has_values(batch) and batch.numel() > 0 and not batch.is_complex()
        if readable and self._complete and self._printed < _KEPT:
            self._print(batch)
        self._count += 1
        computed = batch.requires_grad
        if measured and batch.is_floating_point() and batch.ndim > 1 and not computed:
            self._units.add(batch, 1 if batch.ndim > 3 else -1)

    def miss(self) -> None:
        """Note that batches are missed from now on: the order of later ones says nothing."""
        self._complete = False

    def _print(self, batch: Tensor) -> None:
        """Keep some of its values; few operations, since this is done at every step."""
        if self._prints is None:
            self._prints = torch.zeros(_KEPT * _LOOKED_AT, device=batch.device)
        if batch.requires_grad:
            batch = batch.detach()
        if not batch.is_contiguous():
            batch = batch.reshape(-1)
        # Odd, so that not the same pixel of each image is taken, which may be black in all.
        step = max(1, batch.numel() // _LOOKED_AT) | 1
        count = min(_LOOKED_AT, (batch.numel() - 1) // step + 1)
        kept = self._prints.as_strided((count,), (1,), self._printed * _LOOKED_AT)
        kept.copy_(batch.as_strided((count,), (step,)))
        self._printed += 1

    def result(self) -> Batches | None:
        """Return what was seen, or None where no batch was."""
        if not self._count:
            return None
        ids = np.empty(0, int)
        if self._prints is not None:
            prints = self._prints.view(_KEPT, _LOOKED_AT)[: self._printed].cpu().numpy()
            rows = prints.view(np.dtype((np.void, prints.itemsize * _LOOKED_AT)))
            ids = np.unique(rows, return_inverse=True)[1].reshape(-1)
        return Batches(self._entry, self._shape, self._units.result(), self._count, ids)
