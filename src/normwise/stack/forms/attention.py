"""F.scaled_dot_product_attention, in parts.

torch's fused kernel draws dropout's masks out of sight, and torch.vmap would call it run by run.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from normwise.stack.forms.dropout import Masks


def attention(
    masks: Masks,
    dropout_only: bool,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Stand for `F.scaled_dot_product_attention`, or only where it has dropout."""
    if enable_gqa or (dropout_only and dropout_p == 0):
        return NotImplemented
    factor = query.shape[-1] ** -0.5 if scale is None else scale
    scores = (query * factor) @ key.mT
    if is_causal:
        attn_mask = scores.new_ones(scores.shape[-2:], dtype=torch.bool).tril()
    if attn_mask is not None:
        is_bool = attn_mask.dtype == torch.bool
        scores = scores.masked_fill(~attn_mask, -torch.inf) if is_bool else scores + attn_mask
    shares = scores.softmax(-1)
    if dropout_p > 0:
        shares = masks.dropout(F.dropout, shares, dropout_p)
    return shares @ value
