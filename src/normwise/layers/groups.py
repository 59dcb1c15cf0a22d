"""Bring a batch into groups of samples, and what there is per unit beside it."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from normwise.layers.moments import Moments
from normwise.layers.normalizing import Statistics, normalize


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
    like = x.new_empty(0, dtype=torch.promote_types(x.dtype, torch.float32))
    units = x.shape[1]
    weight = _per_unit(like.new_ones(units) if weight is None else weight, x)
    bias = _per_unit(like.new_zeros(units) if bias is None else bias, x)
    if by.running is not None:
        mean, var = by.running
        by = replace(by, running=(_per_unit(mean, x), _per_unit(var, x)))
    sizes = group_sizes(len(x), virtual_batch_size)
    parts = [groups * samples for groups, samples in sizes]
    masks = [None] * len(parts) if mask is None else _expanded(mask, x).split(parts)
    outs, found = [], []
    for part, kept, size in zip(_split(x, parts), masks, sizes, strict=True):
        kept = None if kept is None else _grouped(kept, *size)
        y, seen = normalize(_grouped(part, *size), weight, bias, kept, by)
        outs.append(y.reshape(part.shape))
        found.append([moment.flatten(1) for moment in seen])
    if len(outs) == 1:
        return outs[0], Moments(*found[0])
    return torch.cat(outs), Moments(*[torch.cat(moment) for moment in zip(*found, strict=True)])


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


def _split(x: Tensor, parts: list[int]) -> Sequence[Tensor]:
    """Return the parts; a single one as it is, for which the backward then copies nothing."""
    return [x] if len(parts) == 1 else x.split(parts)


def _grouped(x: Tensor, groups: int, samples: int) -> Tensor:
    """(N, C, *) becomes (G, B, C, L), or (G, B, C)."""
    positions = x.shape[2:]
    return x.reshape(groups, samples, x.shape[1], *([positions.numel()] if positions else []))


def _expanded(mask: Tensor, x: Tensor) -> Tensor:
    return mask.expand(len(x), mask.shape[1], *x.shape[2:])


def _per_unit(values: Tensor, x: Tensor) -> Tensor:
    """(C,) becomes what broadcasts to groups of `x`."""
    return values.view(1, 1, -1, *([1] if x.ndim > 2 else []))
