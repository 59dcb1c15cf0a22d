"""Bring a batch into groups of samples, and what there is per unit beside it."""

from dataclasses import replace

import torch
from torch import Tensor

from normwise.layers.moments import Moments
from normwise.layers.normalizing import Statistics, normalize, per_unit


def by_groups(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    by: Statistics,
    mask: Tensor | None = None,
    virtual_batch_size: int | None = None,
) -> tuple[Tensor, Moments]:
    """Return a normalised batch, and the moments of its groups, (G, C), in order.

    Args:
        x: of shape (N, C, *).
        weight: of shape (C,); None for 1.
        bias: likewise; None for 0.
        by: which statistics to use; those of the running ones have the shape (C,).
        mask: of shape (N, C, *) or (N, 1, *).
        virtual_batch_size: samples of a group at most; None for all.
    """
    dtype, units = torch.promote_types(x.dtype, torch.float32), x.shape[1]
    weight = x.new_ones(units, dtype=dtype) if weight is None else weight
    bias = x.new_zeros(units, dtype=dtype) if bias is None else bias
    if by.running is not None:
        mean, var = by.running
        by = replace(by, running=(per_unit(mean, x), per_unit(var, x)))
    mask = None if mask is None else mask.expand(len(x), mask.shape[1], *x.shape[2:])
    sizes = group_sizes(x.shape[0], virtual_batch_size)
    if len(sizes) == 1:
        y, seen = normalize(x, sizes[0][0], weight, bias, mask, by)
        n = seen.n.flatten(1) if isinstance(seen.n, Tensor) else seen.n
        return y, Moments(seen.mean.flatten(1), seen.var.flatten(1), n)
    parts = [groups * samples for groups, samples in sizes]
    masks = [None] * len(parts) if mask is None else mask.split(parts)
    outs, found = [], []
    for part, kept, (groups, _) in zip(x.split(parts), masks, sizes, strict=True):
        y, seen = normalize(part, groups, weight, bias, kept, by)
        outs.append(y)
        found.append([t.flatten(1) for t in (seen.mean, seen.var, seen.counts)])
    return torch.cat(outs), Moments(*map(torch.cat, zip(*found, strict=True)))


def group_sizes(samples: int, at_most: int | None) -> list[tuple[int, int]]:
    """Divide samples into groups that differ by at most one, as `Tensor.tensor_split` does.

    Returns:
        How many groups have how many samples: one entry, or two where they differ.

    Example:
        >>> group_sizes(17, 8), group_sizes(16, 8), group_sizes(16, None)
        ([(2, 6), (1, 5)], [(2, 8)], [(1, 16)])
    """
    groups = 1 if at_most is None else max(1, -(-samples // at_most))
    fewest, more = divmod(samples, groups)
    sizes = [(more, fewest + 1), (groups - more, fewest)]
    return [size for size in sizes if size[0]]
