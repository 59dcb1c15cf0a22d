"""Mean, variance and count over some dimensions: of masked tensors, and of several parts together.

Every figure keeps the reduced dimensions with size 1, so that it broadcasts to what it describes.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from normwise.layers.validity import Validity


class Moments(NamedTuple):
    """What a batch says about the distribution of its units.

    Attributes:
        mean: of every unit.
        var: likewise, around that mean and divided by the count.
        n: how many values it is made of, a number where that is one for all units; with none, mean
            and variance are 0.
    """

    mean: Tensor
    var: Tensor
    n: Tensor | int

    @property
    def counts(self) -> Tensor:
        """How many values, of every unit."""
        return self.n if isinstance(self.n, Tensor) else torch.full_like(self.mean, self.n)


def moments(x: Tensor, dim: Sequence[int], valid: Validity, room: Tensor | None = None) -> Moments:
    """Return the moments of what is valid.

    Two passes: the variance is that of the centred values, so that a mean of 1e4 leaves a standard
    deviation of 1 as it is. Half precision is summed up in float32.

    Args:
        x: any tensor.
        dim: the dimensions to reduce, in rising order.
        valid: which of its elements count.
        room: of the shape of `x`, in float32 at least; is overwritten.
    """
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    n = valid.count(x, dim)
    mean = valid.sum(x, dim, room, exact=True) / at_least_one(n)
    squares = _squared_differences(x, mean.expand_as(x), room)
    var = valid.sum(squares, dim, room) / at_least_one(n)
    return Moments(mean, var, n.expand_as(mean) if isinstance(n, Tensor) else n)


def _squared_differences(x: Tensor, mean: Tensor, room: Tensor | None) -> Tensor:
    """Return (x - mean)^2, in a single pass."""
    if room is None:
        return torch.ops.aten.mse_loss(x, mean, 0)
    return torch.ops.aten.mse_loss.out(x, mean, 0, out=room)


def at_least_one(n: Tensor | int) -> Tensor | int:
    """Return what to divide by where nothing may have been counted."""
    return n.clamp(min=1) if isinstance(n, Tensor) else max(n, 1)


def pool(parts: Moments, dim: int = 0) -> Moments:
    """Return the moments of all parts together (Chan, Golub & LeVeque 1979), without `dim`."""
    counts = parts.counts
    n = counts.sum(dim, keepdim=True)
    weight = counts / n.clamp(min=1)
    mean = (weight * parts.mean).sum(dim, keepdim=True)
    var = (weight * (parts.var + (parts.mean - mean).square())).sum(dim)
    return Moments(mean.squeeze(dim), var, n.squeeze(dim))
