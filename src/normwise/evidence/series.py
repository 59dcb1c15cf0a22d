"""A number over time, in constant memory."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

_POINTS = 256  # kept of a series, evenly over its steps
_PENDING = 32  # values that wait on their device until they are read together


@dataclass(frozen=True, eq=False)
class Series:
    """What is known of a number that was measured at some steps.

    Only finite values enter `first`, `last`, `low`, `high` and `mean`, which are NaN where there
    were none.

    Attributes:
        steps: the steps of `values`, some 256 of them at most, evenly spread.
        values: the number at these steps, where it was finite.
        count: how often it was measured.
        nonfinite: how often it was infinite or not a number.
        nonfinite_step: the step at which it first was, or None.
        first: its first finite value.
        last: its last finite value.
        low: its smallest finite value.
        high: its largest finite value.
        mean: over all finite values.

    Example:
        >>> meter = SeriesMeter()
        >>> for step in range(1000):
        ...     meter.add(step, torch.tensor(step / 1000))
        >>> series = meter.column()
        >>> series.count, len(series.values) <= 256, series.first, round(series.mean, 4)
        (1000, True, 0.0, 0.4995)
    """

    steps: np.ndarray
    values: np.ndarray
    count: int
    nonfinite: int
    nonfinite_step: int | None
    first: float
    last: float
    low: float
    high: float
    mean: float


_NAN = float("nan")
EMPTY = Series(np.empty(0, int), np.empty(0), 0, 0, None, _NAN, _NAN, _NAN, _NAN, _NAN)


class SeriesMeter:
    """Takes numbers measured at steps; never waits for a device.

    Args:
        width: how many numbers there are; each has a series of its own.
    """

    def __init__(self, width: int = 1) -> None:
        self._pending: list[tuple[int, Tensor, Sequence[int] | None]] = []
        self._kept: list[tuple[int, np.ndarray]] = []
        self._stride, self._rows = 1, 0
        self._count, self._nonfinite, self._sum = (np.zeros(width) for _ in range(3))
        self._first, self._last, self._low, self._high = (np.full(width, np.nan) for _ in range(4))
        self._since = np.full(width, -1)

    def add(self, step: int, values: Tensor, columns: Sequence[int] | None = None) -> None:
        """Note the numbers of a step.

        Args:
            step: when.
            values: one, or a vector.
            columns: which of the numbers these are; all by default.
        """
        self._pending.append((step, values, columns))
        if len(self._pending) == _PENDING:
            self._read()

    def column(self, index: int = 0) -> Series:
        """Return what is known of one of the numbers."""
        self._read()
        kept = [(step, row[index]) for step, row in self._kept if np.isfinite(row[index])]
        finite, since = self._count[index] - self._nonfinite[index], int(self._since[index])
        return Series(
            steps=np.array([step for step, _ in kept], int),
            values=np.array([value for _, value in kept]),
            count=int(self._count[index]),
            nonfinite=int(self._nonfinite[index]),
            nonfinite_step=since if since >= 0 else None,
            first=float(self._first[index]),
            last=float(self._last[index]),
            low=float(self._low[index]),
            high=float(self._high[index]),
            mean=float(self._sum[index] / finite) if finite else _NAN,
        )

    def _read(self) -> None:
        if not self._pending:
            return
        single = all(not values.ndim for _, values, _ in self._pending)
        values = [values for _, values, _ in self._pending]
        read = torch.stack(values) if single else torch.cat([v.reshape(-1) for v in values])
        flat = read.cpu().double().numpy()
        rows = np.full((len(self._pending), len(self._count)), np.nan)
        present = np.zeros(rows.shape, bool)
        for row, mask, (_, values, columns) in zip(rows, present, self._pending, strict=True):
            at = slice(None) if columns is None else list(columns)
            row[at], mask[at], flat = flat[: values.numel()], True, flat[values.numel() :]
        steps = np.array([step for step, _, _ in self._pending])
        self._pending.clear()
        self._take(steps, rows, present)
        self._keep(steps, rows)

    def _take(self, steps: np.ndarray, rows: np.ndarray, present: np.ndarray) -> None:
        finite = np.isfinite(rows)
        broken = present & ~finite
        rows = np.where(finite, rows, np.nan)
        self._count += present.sum(0)
        self._nonfinite += broken.sum(0)
        self._sum += np.where(finite, rows, 0).sum(0)
        self._low = np.fmin(self._low, np.fmin.reduce(rows))
        self._high = np.fmax(self._high, np.fmax.reduce(rows))
        fresh = np.isnan(self._first)
        self._first[fresh] = _earliest(rows, finite)[fresh]
        last = _earliest(rows[::-1], finite[::-1])
        self._last = np.where(np.isnan(last), self._last, last)
        new = broken.any(0) & (self._since < 0)
        self._since[new] = steps[broken.argmax(0)][new]

    def _keep(self, steps: np.ndarray, rows: np.ndarray) -> None:
        for step, row in zip(steps.tolist(), rows, strict=True):
            if self._rows % self._stride == 0:
                self._kept.append((step, row))
            self._rows += 1
        if len(self._kept) > _POINTS:
            self._kept, self._stride = self._kept[::2], 2 * self._stride


def _earliest(rows: np.ndarray, finite: np.ndarray) -> np.ndarray:
    """Return each column's first finite value; NaN where there is none."""
    return rows[finite.argmax(0), np.arange(rows.shape[1])]
