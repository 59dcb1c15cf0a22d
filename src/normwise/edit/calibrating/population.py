"""Mean and variance per channel, pooled over everything that comes by."""

import torch
from torch import Tensor

from normwise.edit.calibrating.processes import gathered

_MOST_PARTS = 64


class Population:
    """Mean and variance of the channels of many batches, every value counted alike.

    Batches are joined in float64 by Chan's rule, within-batch variances plus the variance of the
    means, many at a time (Chan, Golub & LeVeque 1983, eq. 2.1): a mean of 1e4 with a standard
    deviation of 1 gives a variance of 1.

    Args:
        channels: how many there are.
        device: where they are counted.

    Example:
        >>> population = Population(1)
        >>> for batch in (1e4 + torch.tensor([[-1.0], [1.0]])).repeat(50, 1).split(7):
        ...     _ = population.add(batch)
        >>> population.count, population.mean.item(), round(population.variance.item(), 9)
        (100, 10000.0, 1.0)
    """

    def __init__(self, channels: int, device: torch.device | None = None) -> None:
        nothing = torch.zeros(channels, dtype=torch.float64, device=device)
        self._parts: list[tuple[int, Tensor, Tensor]] = [(0, nothing, nothing)]

    @property
    def count(self) -> int:
        """How many values each channel has had."""
        return sum(count for count, _, _ in self._parts)

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
        mean, variance = _of_batch(x)
        self._parts.append((x.numel() // x.shape[1], mean, variance))
        if len(self._parts) > _MOST_PARTS:
            self._joined()
        return mean, variance

    def pool(self) -> None:
        """Join what all processes have seen, in the order of their ranks: all get the same."""
        count, mean, variance = self._joined()
        mine = torch.cat([torch.full_like(mean[:1], count), mean, variance])
        everyones = [theirs.split([1, len(mean), len(mean)]) for theirs in gathered(mine)]
        self._parts = [(int(count), mean, variance) for count, mean, variance in everyones]

    def _joined(self) -> tuple[int, Tensor, Tensor]:
        if len(self._parts) > 1 and self.count:
            counts, means, variances = zip(*self._parts, strict=True)
            share = torch.tensor(counts, dtype=torch.float64, device=means[0].device)[:, None]
            share = share / self.count
            each = torch.stack([mean.double() for mean in means])
            mean = (share * each).sum(0)
            within = torch.stack([variance.double() for variance in variances])
            variance = (share * (within + (each - mean).square())).sum(0)
            self._parts = [(self.count, mean, variance)]
        return self._parts[0]


def _of_batch(x: Tensor) -> tuple[Tensor, Tensor]:
    if not x.is_cpu:
        axes = [axis for axis in range(x.ndim) if axis != 1]
        variance, mean = torch.var_mean(x.double(), axes, correction=0)
        return mean, variance
    # The kernel of F.batch_norm accumulates in float64 where channels come before positions, and
    # in the dtype of its input elsewhere: there it may miss a mean of 1e4 by several units.
    has_positions = x.numel() > x.shape[0] * x.shape[1] > x.shape[0]
    precise = x.dtype is torch.float32 and x.is_contiguous() and has_positions
    mean, variance = torch.batch_norm_update_stats(x if precise else x.double(), None, None, 0.0)
    return mean, variance
