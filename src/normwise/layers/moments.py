"""Mean, variance and count over some dimensions: of masked tensors, and of several parts together.

Every figure keeps the reduced dimensions with size 1, so that it broadcasts to what it describes.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

_INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


class Moments(NamedTuple):
    """What a batch says about the distribution of its units.

    Attributes:
        mean: of every unit.
        var: likewise, around that mean and divided by the count.
        n: how many values it is made of; with none, mean and variance are 0.
    """

    mean: Tensor
    var: Tensor
    n: Tensor


def moments(x: Tensor, dim: Sequence[int], mask: Tensor | None = None) -> tuple[Tensor, Moments]:
    """Return `x` minus its mean, 0 where the mask is False, and the moments of what the mask keeps.

    Two passes: the variance is that of the centred values, so that a mean of 1e4 leaves a standard
    deviation of 1 as it is. Half precision is summed up in float32.

    Args:
        x: any tensor.
        dim: the dimensions to reduce, in rising order.
        mask: broadcasts to `x`, and has its size in `dim`.
    """
    kept = x if mask is None else keep(x, mask)
    total = sum_over(kept, dim)
    if mask is None:
        n = torch.full_like(total, math.prod([x.shape[d] for d in dim]))
        mean = total / n.clamp(min=1)
        centred = x - mean
    else:
        valid = mask.to(total.dtype)
        n = sum_over(valid, dim).expand_as(total)
        mean = total / n.clamp(min=1)
        # What is kept is finite by now, so that a product selects.
        centred = kept.to(mean.dtype).sub_(mean).mul_(valid)
    return centred, Moments(mean, _norm(centred, dim).square() / n.clamp(min=1), n)


def pool(parts: Moments, dim: int = 0) -> Moments:
    """Return the moments of all parts together (Chan, Golub & LeVeque 1979), without `dim`."""
    n = parts.n.sum(dim, keepdim=True)
    weight = parts.n / n.clamp(min=1)
    mean = (weight * parts.mean).sum(dim, keepdim=True)
    var = (weight * (parts.var + (parts.mean - mean).square())).sum(dim)
    return Moments(mean.squeeze(dim), var, n.squeeze(dim))


def keep(x: Tensor, mask: Tensor) -> Tensor:
    """Return `x` with 0 where the mask is False, whatever is there, NaN and infinities included.

    A mask of bits is several times faster than `torch.where`, which is not vectorised on the CPU.
    """
    integer = _INTEGERS[x.element_size()]
    return (x.view(integer) & -mask.to(integer)).view(x.dtype)


def keep_(x: Tensor, mask: Tensor) -> Tensor:
    """Do the same in place."""
    integer = _INTEGERS[x.element_size()]
    x.view(integer).bitwise_and_(-mask.to(integer))
    return x


def sum_over(x: Tensor, dim: Sequence[int]) -> Tensor:
    """Sum up, the last dimension first, which is the fastest; half precision in float32."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    for d in reversed(dim):
        x = x.sum(d, keepdim=True, dtype=dtype)
    return x


def _norm(x: Tensor, dim: Sequence[int]) -> Tensor:
    """The root of the sum of squares, for which torch needs no memory."""
    for d in reversed(dim):
        x = torch.linalg.vector_norm(x, dim=d, keepdim=True)
    return x
