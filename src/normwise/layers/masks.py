"""Which elements of a batch are data, and which only fill it up."""

import torch
from torch import Tensor

from normwise.errors import UsageError


def per_element(mask: Tensor, x: Tensor) -> Tensor:
    """Return a mask that broadcasts to a batch of shape (N, C, *).

    Args:
        mask: True where there is data; of shape (N, *), for all channels, or one that broadcasts
            to (N, C, *).
        x: the batch.

    Raises:
        UsageError: the mask is not boolean, or fits the batch in neither way.

    Example:
        >>> per_element(torch.ones(4, 10, dtype=torch.bool), torch.randn(4, 8, 10)).shape
        torch.Size([4, 1, 10])
    """
    if mask.dtype != torch.bool:
        raise UsageError(
            f"mask has the type {mask.dtype}: it takes a boolean tensor that is True where there "
            "is data, such as mask.bool() of a mask of ones and zeros"
        )
    wide = mask.unsqueeze(1) if mask.ndim == x.ndim - 1 else mask
    fits = wide.ndim == x.ndim and all(
        m in (1, n) for m, n in zip(wide.shape, x.shape, strict=True)
    )
    if not fits:
        without = tuple(n for axis, n in enumerate(x.shape) if axis != 1)
        raise UsageError(
            f"mask has the shape {tuple(mask.shape)}, for an input of shape {tuple(x.shape)}: it "
            f"takes {without}, which is the input's without channels, or {tuple(x.shape)}"
        )
    return wide
