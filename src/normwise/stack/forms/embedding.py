"""F.embedding with a row for padding, which gets no gradient.

torch.vmap forgets about it where every run has weights of its own.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,  # noqa: ARG001
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Stand for `F.embedding` where it has a row for padding and no other option."""
    if padding_idx is None or max_norm is not None or scale_grad_by_freq or sparse:
        return NotImplemented
    rows = F.embedding(input, weight)
    padding = input == padding_idx % len(weight)
    return torch.where(padding[..., None], rows.detach(), rows)
