"""Functions that presuppose how a tensor lies in memory, for tensors with the channels last.

Convolutions of many runs put them there (see `convolution.py`); alone, the network has them first.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def view(input: Tensor, *shape: Any, **options: Any) -> Tensor:
    """Stand for `Tensor.view`, where it gives a shape, also one that takes a copy here."""
    if options or isinstance(shape[0], torch.dtype):
        return NotImplemented
    return input.reshape(*shape)


def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """Stand for `F.adaptive_avg_pool2d` to one value, for which torch sets strides by hand."""
    if output_size not in (1, (1, 1), [1, 1]):
        return NotImplemented
    return input.mean((-2, -1), keepdim=True)


def group_norm(input: Tensor, *args: Any, **options: Any) -> Tensor:
    """Stand for `F.group_norm`, which torch.vmap cannot follow where the channels are last."""
    return F.group_norm(input.contiguous(), *args, **options)
