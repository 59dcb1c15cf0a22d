"""Which tensors can be looked at, and how far."""

from collections.abc import Sequence
from typing import Any, TypeGuard

import torch
from torch import Tensor

from normwise.evidence.private import is_transformed


def has_shape(value: Any) -> TypeGuard[Tensor]:
    """Whether a value is a tensor with sizes, unlike a nested one.

    Example:
        >>> has_shape(torch.ones(3)), has_shape([1.0])
        (True, False)
    """
    return isinstance(value, Tensor) and not value.is_nested


def has_values(tensor: Tensor) -> bool:
    """Whether a tensor's values lie in memory that can be read, and be kept.

    Example:
        >>> has_values(torch.ones(3)), has_values(torch.ones(3).to_sparse())
        (True, False)
    """
    dense = tensor.layout is torch.strided and not tensor.is_meta
    return dense and not is_transformed(tensor)


def is_measurable(values: Sequence[Any]) -> TypeGuard[Sequence[Tensor]]:
    """Whether the first value is a tensor of real numbers that can be looked at.

    Example:
        >>> is_measurable((torch.ones(3), None)), is_measurable((torch.arange(3),))
        (True, False)
    """
    if not values or not has_shape(values[0]):
        return False
    tensor = values[0]
    return tensor.is_floating_point() and tensor.ndim > 0 and has_values(tensor)
