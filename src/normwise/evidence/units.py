"""Moments and extremes per unit, over a stream of batches."""

from collections import deque
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from normwise.trace.functions import BOUNDS, RECTIFIERS

_FLAT = 0.05  # a value is saturated in the outer 5 % of the activation's range ...
_MOSTLY = 0.95  # ... and a unit where 95 % of its values are

_ENOUGH, _ENOUGH_PER_UNIT = 8192, 1024  # values that give a batch's moments, of a larger batch
_PENDING = 16
_SAMPLED = 512  # values that a batch gives to the sample behind a histogram
_SAMPLES = 8
_SAMPLED_EVERY = 4  # batches


@dataclass(frozen=True, eq=False)
class Units:
    """What is known of the values of a layer's units, over all measured batches.

    Units are the features of a Linear or a LayerNorm and the channels of a convolution or a batch
    norm; all samples and positions count as values of the same unit. Arrays have one entry per
    unit and are float64.

    Attributes:
        batches: how many were measured.
        count: values per unit.
        mean: per unit.
        var: per unit, biased: the mean squared distance from `mean`.
        low: the smallest value of any unit, in every fourth batch.
        high: the largest value of any unit, likewise.
        top: the largest value per unit, for activations that can die; else None.
        flat: share of each unit's values in the outer 5 % of the activation's range, for
            activations with two flat ends; else None.
        sample: some hundreds of values of the last batches, for histograms and quantiles.
        first: the same for the first measured batch alone, without sample and range.
        recent: likewise for the last batches, at most 16.

    Example:
        >>> meter = UnitsMeter("relu")
        >>> for _ in range(100):
        ...     x = torch.relu(torch.randn(64, 3) - torch.tensor([0.0, 1.0, 9.0]))
        ...     _ = meter.add(x, axis=1)
        >>> units = meter.result()
        >>> units.count, units.dead
        (6400, 0.3333333333333333)
    """

    batches: int
    count: int
    mean: np.ndarray
    var: np.ndarray
    low: float = float("nan")
    high: float = float("nan")
    top: np.ndarray | None = None
    flat: np.ndarray | None = None
    sample: np.ndarray | None = None
    first: "Units | None" = None
    recent: "Units | None" = None

    @property
    def total_mean(self) -> float:
        """The mean over all units and values."""
        return float(self.mean.mean())

    @property
    def total_std(self) -> float:
        """The standard deviation over all units and values."""
        return float(np.sqrt(self.var.mean() + self.mean.var()))

    @property
    def rms(self) -> float:
        """The root mean square over all units and values."""
        return float(np.sqrt((self.var + self.mean**2).mean()))

    @property
    def finite(self) -> bool:
        """Whether all moments are."""
        return bool(np.isfinite(self.mean).all() and np.isfinite(self.var).all())

    @property
    def dead_units(self) -> np.ndarray:
        """Indices of units whose output was zero for every value; empty where none can die."""
        return np.flatnonzero(self.top <= 0) if self.top is not None else np.empty(0, int)

    @property
    def dead(self) -> float:
        """Share of dead units; NaN for activations that cannot die."""
        return float((self.top <= 0).mean()) if self.top is not None else float("nan")

    @property
    def saturated(self) -> float:
        """Share of units with at least 95 % of their values in a flat end; NaN without ends."""
        return float((self.flat >= _MOSTLY).mean()) if self.flat is not None else float("nan")

    @property
    def constant_units(self) -> np.ndarray:
        """Indices of units that did not vary, up to the rounding of their own size."""
        return np.flatnonzero(self.var <= (1e-6 * np.abs(self.mean)) ** 2)


@dataclass
class Batch:
    """One batch, or several folded into one; tensors stay on their device."""

    batches: int
    count: int
    mean: Tensor
    var: Tensor
    top: Tensor | None = None
    flat: Tensor | None = None


class UnitsMeter:
    """Takes batches of one layer's values; a few fused operations each, and never a wait.

    Args:
        activation: torch's name of the activation whose output is measured, if it is one.
    """

    def __init__(self, activation: str | None = None) -> None:
        self._activation = activation
        self._first: Batch | None = None
        self._whole: Batch | None = None
        self._pending: list[Batch] = []
        self._adds = 0
        self._extremes: tuple[Tensor, Tensor] | None = None
        self._sample: deque[Tensor] = deque(maxlen=_SAMPLES)

    def add(self, values: Tensor, axis: int, known: Batch | None = None) -> Batch | None:
        """Measure a batch.

        Args:
            values: of shape (N, ...), without autograd.
            axis: the axis that counts units.
            known: what another meter has measured of the same values.

        Returns:
            What was measured.
        """
        if not values.numel():
            return None
        if values.dtype in (torch.float16, torch.bfloat16):
            values = values.float()  # else the moments would be rounded too
        batch = known or self.measure(values, axis)
        if self._first is not None and self._first.mean.shape != batch.mean.shape:
            return batch  # a layer that changes its width has no units to follow
        if self._adds % _SAMPLED_EVERY == 0:
            self._take_sample(values)
        self._adds += 1
        self._first = self._first or batch
        self._pending.append(batch)
        if len(self._pending) == 2 * _PENDING:
            self._fold(_PENDING)
        return batch

    def measure(self, values: Tensor, axis: int) -> Batch:
        """Return what `add` would take of a batch."""
        columns = values[:, None] if values.ndim == 1 else values
        axis = 1 if values.ndim == 1 else axis % values.ndim
        batch = Batch(1, *moments(columns, axis))
        if self._activation is not None:
            others = tuple(i for i in range(columns.ndim) if i != axis)
            if self._activation in RECTIFIERS:
                batch.top = columns.amax(others)
            elif self._activation in BOUNDS:
                batch.flat = saturated_share(columns, self._activation, others)
        return batch

    def _take_sample(self, values: Tensor) -> None:
        low, high = torch.aminmax(values)
        if self._extremes is not None:
            low, high = (
                torch.minimum(low, self._extremes[0]),
                torch.maximum(high, self._extremes[1]),
            )
        self._extremes = low, high
        flat = values.flatten()
        self._sample.append(flat[:: max(1, len(flat) // _SAMPLED)].clone())

    def _fold(self, number: int) -> None:
        folded, self._pending = self._pending[:number], self._pending[number:]
        self._whole = _merge([self._whole, *folded] if self._whole else folded)

    def result(self) -> Units | None:
        """Return what was measured, or None before the first batch."""
        if self._first is None or self._extremes is None:
            return None
        whole = _merge([self._whole, *self._pending] if self._whole else self._pending)
        sample = torch.cat(list(self._sample)).double().cpu().numpy()
        return replace(
            _units(whole),
            low=float(self._extremes[0]),
            high=float(self._extremes[1]),
            sample=sample,
            first=_units(_merge([self._first])),
            recent=_units(_merge(self._pending[-_PENDING:])),
        )


def of_batch(values: Tensor, axis: int, activation: str | None = None) -> Units:
    """Measure a single batch.

    Args:
        values: of shape (N, ...), without autograd.
        axis: the axis that counts units.
        activation: torch's name of the activation whose output it is, if it is one.

    Example:
        >>> of_batch(torch.tensor([[0.0, 1.0], [0.0, 0.0]]), 1, "relu").dead
        0.5
    """
    return _units(UnitsMeter(activation).measure(values, axis))


def saturated_share(values: Tensor, activation: str, others: tuple[int, ...]) -> Tensor:
    """Return the share of each unit's values in the outer 5 % of a bounded activation's range."""
    low, high = BOUNDS[activation]
    reach = (0.5 - _FLAT) * (high - low)
    distance = values if low == -high else values - (low + high) / 2
    return (distance.abs() > reach).to(values.dtype).mean(others)


def moments(values: Tensor, axis: int) -> tuple[int, Tensor, Tensor]:
    """Return the count, mean and biased variance per unit; of a large batch, of part of it.

    On the CPU `torch.var_mean` over strided axes takes far longer than the kernel behind batch
    norm, which accumulates in float64 besides.
    """
    values = _thinned(values, axis)
    if axis == values.ndim - 1:
        values, axis = values.reshape(-1, values.shape[-1]), 1
    elif axis != 1:
        values = values.movedim(axis, 1)
    count = values.numel() // values.shape[1]
    if values.device.type in ("cpu", "cuda"):
        mean, var = torch.batch_norm_update_stats(values, None, None, 0.0)
    else:
        others = tuple(i for i in range(values.ndim) if i != 1)
        var, mean = torch.var_mean(values, others, correction=0)
    return count, mean, var


def _thinned(values: Tensor, axis: int) -> Tensor:
    """Leave out samples, then positions, at even distances, where there are far too many."""
    enough = max(_ENOUGH, _ENOUGH_PER_UNIT * values.shape[axis])
    for dim, size in enumerate(values.shape):
        step = min(values.numel() // enough, size // (4 if dim else 16))
        if dim != axis and step > 1:
            values = values[(slice(None),) * dim + (slice(None, None, step),)]
    return values


def _merge(batches: list[Batch]) -> Batch:
    """Combine moments by Chan's formula, in float64."""
    tops = [batch.top for batch in batches if batch.top is not None]
    flats = [batch.flat for batch in batches if batch.flat is not None]
    device = batches[0].mean.device
    device = torch.device("cpu") if device.type == "mps" else device  # which lacks float64
    counts = torch.tensor([b.count for b in batches], dtype=torch.float64)
    means = torch.stack([b.mean for b in batches]).to(device, torch.float64)
    variances = torch.stack([b.var for b in batches]).to(device, torch.float64)
    weights = (counts / counts.sum())[:, None].to(device)
    mean = (weights * means).sum(0)
    return Batch(
        sum(b.batches for b in batches),
        sum(b.count for b in batches),
        mean,
        (weights * (variances + (means - mean).square())).sum(0),
        torch.stack(tops).amax(0) if tops else None,
        (weights * torch.stack(flats).to(device, torch.float64)).sum(0) if flats else None,
    )


def _units(batch: Batch) -> Units:
    return Units(
        batch.batches,
        batch.count,
        batch.mean.cpu().numpy(),
        batch.var.cpu().numpy(),
        top=None if batch.top is None else batch.top.double().cpu().numpy(),
        flat=None if batch.flat is None else batch.flat.double().cpu().numpy(),
    )
