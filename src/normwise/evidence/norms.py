"""What norms that keep statistics hold, against what they are given."""

from collections import deque
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from normwise.evidence.series import EMPTY, Series, SeriesMeter
from normwise.evidence.units import Batch, Units, UnitsMeter

_RECENT = 16  # batches, as many as `Units.recent` spans


@dataclass(frozen=True, eq=False)
class Norm:
    """What is known of one batch or instance norm besides its input.

    Attributes:
        later: its input in all calls but the first of each training pass; None where there is one
            call only.
        kept_mean: the running means, on average before the calls behind `Module.input.recent`;
            None where none are kept.
        kept_var: the running variances, likewise.
        kept_updates: how many batches these held at least.
        shift: at passes in evaluation mode soon after a measured training batch, the variance of
            that batch divided by that of the evaluation's, its median over the channels.
        frozen: whether its weight and bias need no gradient and are what they were when watching
            began.

    Example:
        >>> from normwise.evidence import probe
        >>> found = probe(nn.BatchNorm1d(3), [torch.randn(32, 3)] * 2).modules[""].norm
        >>> found.later, found.kept_mean.shape, found.shift.count, found.frozen
        (None, (3,), 1, False)
    """

    later: Units | None = None
    kept_mean: np.ndarray | None = None
    kept_var: np.ndarray | None = None
    kept_updates: int = 0
    shift: Series = EMPTY
    frozen: bool = False


class NormMeter:
    """Follows one norm; called at its measured calls."""

    def __init__(self, norm: nn.Module) -> None:
        self._norm = norm
        self._weights = [weight.detach().clone() for weight in norm.parameters(recurse=False)]
        self._kept: deque[tuple[Tensor, Tensor | None]] = deque(maxlen=_RECENT)
        self._later = UnitsMeter()
        self._shift = SeriesMeter()
        self._trained: tuple[int, Batch | None] = 0, None

    def train(self, step: int, values: Tensor, batch: Batch | None, *, first: bool) -> None:
        """Note a call in training mode; `batch` is what was measured of `values`."""
        self._trained = step, batch
        mean, var = self._norm.running_mean, self._norm.running_var
        if isinstance(mean, Tensor) and isinstance(var, Tensor):
            tracked = self._norm.num_batches_tracked
            updates = tracked.clone() if isinstance(tracked, Tensor) else None
            self._kept.append((torch.stack((mean, var)), updates))
        if not first:
            self._later.add(values, 1, batch)

    def evaluate(self, step: int, batch: Batch | None) -> None:
        """Note a call in evaluation mode."""
        when, trained = self._trained
        if trained is None or batch is None or step - when > max(_RECENT, step // 10):
            return
        eps = self._norm.eps  # keeps channels without variance from counting
        assert isinstance(eps, float)
        self._shift.add(step, ((trained.var + eps) / (batch.var + eps)).median())

    def result(self) -> Norm:
        """Return what is known of it."""
        mean = var = updates = None
        if self._kept:
            updates = self._kept[0][1]
            mean, var = torch.stack([k for k, _ in self._kept]).double().mean(0).cpu().numpy()
        return Norm(
            self._later.result(),
            mean,
            var,
            0 if updates is None else int(updates),
            self._shift.column(),
            self._is_frozen(),
        )

    def _is_frozen(self) -> bool:
        weights = list(self._norm.parameters(recurse=False))
        return bool(weights) and all(
            not weight.requires_grad and torch.equal(weight, before)
            for weight, before in zip(weights, self._weights, strict=True)
        )
