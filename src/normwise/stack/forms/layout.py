"""Functions that presuppose how a tensor lies in memory, for tensors with the channels last.

Convolutions of many runs put them there (see `convolution.py`); alone, the network has them first.
"""

from collections.abc import Callable
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


LAYOUT_FORMS: dict[Callable[..., Any], Callable[..., Any]] = {
    F.adaptive_avg_pool2d: adaptive_avg_pool2d,
    F.group_norm: group_norm,
    Tensor.view: view,
}


def channels_last(weight: Tensor, least: int = 1) -> Tensor:
    """Return a weight of a 2-D convolution so that, on the CPU, its output has the channels last.

    It is a copy, whose strides say so even where there is one channel: torch goes by them.

    Args:
        weight: any; others are returned as they are.
        least: channels of the output for which it is done.
    """
    if weight.ndim != 4 or weight.device.type != "cpu" or len(weight) < least:
        return weight
    return weight.clone(memory_format=torch.channels_last)
