"""Mean and variance per channel, pooled over everything that comes by."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from normwise.edit.calibrating.processes import gathered
from normwise.edit.pooling import Part, Pool, joined

_ROWS = 2**11  # that are summed in one go, one after the other
_BATCHES = 2**6  # that wait to be joined
_ELEMENTS = 2**18  # that are centred in one go, so that they stay in a cache


class Population:
    """Mean and variance of the channels of many batches, every value counted alike.

    The values of a piece of a batch are summed in their own precision (float32 at least) about a
    value near their mean, so that nothing is lost where the mean is large, and pieces are joined in
    float64: a mean of 1e4 with a standard deviation of 1 gives a variance of 1.

    Args:
        channels: how many there are.
        device: where they are counted.

    Example:
        >>> population = Population(1)
        >>> for batch in (1e4 + torch.tensor([[-1.0], [1.0]])).repeat(50, 1).split(7):
        ...     _ = population.add(batch)
        >>> population.count, population.mean.item(), round(population.variance.item(), 6)
        (100, 10000.0, 1.0)
    """

    def __init__(self, channels: int, device: torch.device | None = None) -> None:
        nothing = torch.zeros(channels, dtype=torch.float64, device=device)
        self._pool = Pool()
        self._pool.add((0, nothing, nothing))
        self._waiting: list[Part] = []
        self._room: list[tuple[Tensor, Tensor]] = []
        self._start: Tensor | None = None

    @property
    def count(self) -> int:
        """How many values each channel has had."""
        return self._joined()[0]

    @property
    def mean(self) -> Tensor:
        """Of every channel, in float64."""
        return self._joined()[1]

    @property
    def variance(self) -> Tensor:
        """Of every channel, in float64; divided by the number of values."""
        return self._joined()[2]

    def add(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Take a batch `(N, C, *)` in, and return its own means and variances."""
        batch = joined(_pieces(x if x.dtype is torch.float64 else x.float()))
        self._pool.add(batch)
        return batch[1:]

    def takes_normalised(self, x: Tensor, norm: Any) -> bool:
        """Tell whether `add_normalised` takes a batch: few values, laid out and of a type as ours.

        Args:
            x: a batch.
            norm: a batch norm.
        """
        ours: Tensor = norm.running_mean
        few = x.ndim == 2 and 1 < len(x) <= _ROWS and x.shape[1:] == ours.shape
        alike = x.dtype is ours.dtype and x.dtype in (torch.float32, torch.float64)
        return few and alike and x.is_cpu and x.is_contiguous()

    def add_normalised(self, x: Tensor, norm: Any) -> Tensor:
        """Take few values `(N, C)` in, and return what a norm makes of them in training mode.

        Here steps take longer than values do, so moments and normalization are one. Some batches
        in a row are summed about one value, near the mean of the first. Should the mean of another
        lie far away, the whole varies by as much, and what is lost to rounding is small beside its
        standard deviation.
        """
        if not self._waiting:
            self._start = _start(x)
        apart = x if self._start is None else x - self._start
        mean, variance = _moments(apart)
        self._waiting.append(self._kept(len(x), mean, variance))
        if len(self._waiting) == _BATCHES:
            self._join_waiting()
        return torch.batch_norm(
            apart, norm.weight, norm.bias, mean, variance, False, 0.0, norm.eps, False
        )

    def _kept(self, count: int, mean: Tensor, variance: Tensor) -> Part:
        """Copy moments to where there is room for those of all batches that wait.

        Left where they are, they would break the memory that the next batch wants in one piece.
        """
        if not self._room:
            room = mean.new_empty(_BATCHES, 2, len(mean))
            self._room = [(place[0], place[1]) for place in room]
        ours = self._room[len(self._waiting)]
        return count, ours[0].copy_(mean), ours[1].copy_(variance)

    def _join_waiting(self) -> None:
        count, mean, variance = joined(self._waiting)
        self._waiting.clear()
        start = 0.0 if self._start is None else self._start
        self._pool.add((count, mean.double() + start, variance))

    def _joined(self) -> Part:
        if self._waiting:
            self._join_waiting()
        return self._pool.joined()

    def pool(self) -> None:
        """Join what all processes have seen, in the order of their ranks: all get the same."""
        count, mean, variance = self._joined()
        mine = torch.cat([torch.full_like(mean[:1], count), mean, variance])
        self._pool = Pool()
        for theirs in gathered(mine):
            count, mean, variance = theirs.split([1, len(mean), len(mean)])
            self._pool.add((int(count), mean, variance))


def _start(x: Tensor) -> Tensor | None:
    """Return a value per channel to sum values `(N, C)` about; None if zero is as good."""
    mean = x.mean(0)
    spread = (x - mean).square_().mean(0)
    return None if (mean.square() <= 16 * spread).all() else mean


def _pieces(x: Tensor) -> list[Part]:
    """Return the moments per channel of the pieces of a batch."""
    if (rows := _rows(x)) is not None:
        return list(map(_of_rows, _split(rows, _ROWS)))
    return list(map(_of_samples, _split(x, max(1, _ELEMENTS * len(x) // x.numel()))))


def _split(x: Tensor, size: int) -> Sequence[Tensor]:
    return x.split(size) if len(x) > size else (x,)  # since a split takes as long as a sum


def _rows(x: Tensor) -> Tensor | None:
    """Return a view `(positions, C)` of values that lie so, on a CPU."""
    if not x.is_cpu:
        return None
    if x.ndim == 2:
        return x.contiguous()
    last = x.movedim(1, -1)
    return last.reshape(-1, x.shape[1]) if last.is_contiguous() else None


def _of_rows(rows: Tensor) -> Part:
    """Use the kernel of F.batch_norm, which sums channels-last values one after the other."""
    start = rows[0]
    mean, variance = _moments(rows - start)
    return len(rows), mean.double() + start, variance


def _moments(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and variance per channel, with no care for precision where the mean is large."""
    return torch.batch_norm_update_stats(rows, None, None, 0.0)


def _of_samples(x: Tensor) -> Part:
    """Sum by torch.mean, whose rounding errors hardly grow with the number of values."""
    axes = [axis for axis in range(x.ndim) if axis != 1]
    centre = x.mean(axes, keepdim=True)
    apart = x - centre
    rest = apart.mean(axes).double()
    variance = apart.square_().mean(axes).double() - rest.square()
    return x.numel() // x.shape[1], rest + centre.flatten(), variance.clamp_min_(0)
