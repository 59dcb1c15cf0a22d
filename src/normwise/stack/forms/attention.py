"""F.scaled_dot_product_attention with dropout, whose masks torch would draw out of sight."""

import torch
import torch.nn.functional as F
from torch import Tensor

from normwise.stack.forms.dropout import Masks


def attention(
    masks: Masks,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Stand for `F.scaled_dot_product_attention`; without dropout it is left to torch.vmap."""
    if dropout_p == 0 or enable_gqa:
        return NotImplemented
    scores = query @ key.mT * (query.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        attn_mask = scores.new_ones(scores.shape[-2:], dtype=torch.bool).tril()
    if attn_mask is not None:
        is_bool = attn_mask.dtype == torch.bool
        scores = scores.masked_fill(~attn_mask, -torch.inf) if is_bool else scores + attn_mask
    return masks.dropout(F.dropout, scores.softmax(-1), dropout_p) @ value
