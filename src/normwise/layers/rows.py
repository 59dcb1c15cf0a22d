"""Sums over groups of vectors, (G, B, C), by the kernels of torch's own batch norm, group by group.

Over large groups they take half the time of passes over all groups at once, since they write down
nothing of what they sum up. Small groups are not worth a call each, and for images and sequences
these kernels are the slower ones.
"""

import torch
from torch import Tensor

from normwise.layers.moments import Moments, pool
from normwise.layers.validity import LONGEST

_LEAST = 2**16  # values of a group that are worth a call
_BACKWARD, _ONLY_SUMS = torch.ops.aten.native_batch_norm_backward, [False, True, True]


def worth_calls(x: Tensor) -> bool:
    """Whether these are large groups of vectors, on the processor."""
    return (
        x.ndim == 3
        and x.shape[1] * x.shape[2] >= _LEAST
        and x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.float64)
    )


def moments_of_vectors(x: Tensor) -> Moments:
    """Return the moments of groups of vectors, (G, 1, C)."""
    groups, samples, units = x.shape
    blocks = -(-samples // LONGEST)
    parts = x.unbind()
    if blocks > 1:
        parts = [part for group in parts for part in group.tensor_split(blocks)]
    found = [torch.batch_norm_update_stats(part, None, None, 0.0) for part in parts]
    mean, var = (torch.stack(each).view(groups, blocks, units) for each in zip(*found, strict=True))
    if blocks > 1:
        counts = mean.new_tensor([len(part) for part in parts]).view(groups, blocks, 1)
        together = pool(Moments(mean, var, counts.expand_as(mean)), 1)
        mean, var = (t.unsqueeze(1) for t in together[:2])
    return Moments(mean, var, samples)


def gradients_of_affine(
    grad: Tensor, x: Tensor, mean: Tensor, rstd: Tensor
) -> tuple[Tensor, Tensor]:
    """Return what groups of vectors give to the gradients of weight and bias, (G, 1, C).

    Args:
        grad: of the normalised vectors.
        x: the vectors.
        mean: of every group, (G, 1, C).
        rstd: likewise.
    """
    each = (t.unbind() for t in (grad, x, mean.flatten(0, 1), rstd.flatten(0, 1)))
    found = [
        _BACKWARD(g, part, r, None, None, m, r, True, 0.0, _ONLY_SUMS)
        for g, part, m, r in zip(*each, strict=True)
    ]
    _, *sums = zip(*found, strict=True)
    dweight, dbias = (torch.stack(each).view_as(mean) for each in sums)
    return dweight, dbias
