"""Samples of a map-style dataset, one by one and joined."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from normwise.data.parts import Parts
from normwise.errors import UsageError
from normwise.references import explain

_PAIR = (tuple, list)


def read_pairs(dataset: Dataset[Any], numbers: Iterable[int], name: str) -> Iterator[Any]:
    """Yield samples, each a pair `(x, y)`.

    Raises:
        UsageError: one raises, or is no pair.
    """
    for number in numbers:
        try:
            sample = dataset[number]
        except Exception as error:
            raise UsageError(f"{name} raised {explain(error)} at sample {number}") from error
        if not isinstance(sample, _PAIR) or len(sample) != 2:
            what = f"{len(sample)} values" if isinstance(sample, _PAIR) else f"a {_kind(sample)}"
            raise UsageError(f"{name} gives {what} at sample {number}: it must give pairs (x, y)")
        yield sample


def join_parts(values: Sequence[Any], name: str, numbers: Sequence[int]) -> Any:
    """Join samples of one part, or each part of samples that are dicts, or tuples of arrays.

    Args:
        values: of each sample.
        name: what they are called.
        numbers: of the samples, for messages.

    Raises:
        UsageError: they are of unlike parts or shapes.
    """
    first, _ = Parts.of(values[0], name)
    if first.keys is None:
        return _join(values, name, numbers)
    columns: list[list[Any]] = [[] for _ in first.keys]
    for number, value in zip(numbers, values, strict=True):
        parts, found = Parts.of(value, name)
        if parts.keys != first.keys:
            raise UsageError(
                f"{name}: sample {number} consists of {', '.join(parts.names)} but sample "
                f"{numbers[0]} of {', '.join(first.names)}: they must have the same parts"
            )
        for column, part in zip(columns, found, strict=True):
            column.append(part)
    named = zip(columns, first.names, strict=True)
    return first.join([_join(column, part, numbers) for column, part in named])


def _join(values: Sequence[Any], name: str, numbers: Sequence[int]) -> Any:
    """One tensor, or a list of plain numbers or strings."""
    if isinstance(values[0], bool | int | float | str):
        return list(values)
    if not isinstance(values[0], Tensor):
        values = [np.asarray(value) for value in values]  # images of PIL, too
    try:
        return torch.stack(list(values)) if isinstance(values[0], Tensor) else np.stack(values)
    except (RuntimeError, TypeError, ValueError):
        shapes = [tuple(np.shape(value)) for value in values]
        for number, shape in zip(numbers, shapes, strict=True):
            check_shape(shape, shapes[0], name, number, numbers[0])
        raise


def check_shape(
    shape: tuple[int, ...], wanted: tuple[int, ...], name: str, number: int, first: int
) -> None:
    """Raise a `UsageError` where a sample has another shape than the first one."""
    if shape != wanted:
        raise UsageError(
            f"{name}: sample {number} has shape {shape} but sample {first} has {wanted}: bring "
            "them to one shape"
        )


def _kind(value: Any) -> str:
    return type(value).__name__
