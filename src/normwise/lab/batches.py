"""A batch of the data for claims about mathematics."""

from typing import NamedTuple

from torch import Tensor

from normwise.data import Data
from normwise.errors import UsageError


class Batch(NamedTuple):
    """Samples as rows, with their labels.

    Attributes:
        x: shape (samples, features), float64.
        y: labels 0..classes-1, shape (samples,).
        classes: how many there are.
    """

    x: Tensor
    y: Tensor
    classes: int


def first_batch(data: Data, size: int) -> Batch:
    """Return the first training samples.

    Raises:
        UsageError: they have several inputs, or no labels.

    Example:
        >>> from normwise.data import load
        >>> first_batch(load("digits"), 32).x.shape
        torch.Size([32, 64])
    """
    y = data.train.y
    if not isinstance(y, Tensor) or not data.classes:
        raise UsageError(f"this claim is about classes, and {data.name} has none: take other data")
    return Batch(data.train.single[:size].double().flatten(1), y[:size], data.classes)
