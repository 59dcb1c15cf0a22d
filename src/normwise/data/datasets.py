"""torch's map-style datasets, read once."""

from collections.abc import Sized
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from normwise.data.parts import Parts
from normwise.data.raw import Raw
from normwise.errors import Problems, UsageError
from normwise.references import explain


def read(train: Dataset[Any], test: Dataset[Any] | None = None) -> Raw:
    """Read every sample `(x, y)` of a dataset, or of two.

    A transform that draws random numbers draws them once: augmentation belongs into the training.

    Raises:
        UsageError: a dataset has no length, a sample raises or is no pair, or shapes differ.
    """
    problems = Problems()
    parts = []
    for role, dataset in (("training", train), ("test", test)):
        if dataset is not None:
            with problems.collect():
                parts.append(_stack(dataset, f"the {role} dataset ({type(dataset).__name__})"))
    problems.raise_if_any()
    return Raw(type(train).__name__, *parts)


def _stack(dataset: Dataset[Any], name: str) -> tuple[Any, Any]:
    if not isinstance(dataset, Sized) or not hasattr(dataset, "__getitem__"):
        raise UsageError(
            f"{name} has no length or no samples by number: pass a map-style dataset, with "
            "__len__ and __getitem__"
        )
    try:
        count = len(dataset)
    except (TypeError, NotImplementedError) as error:
        raise UsageError(f"{name} has no length: pass a map-style dataset") from error
    if count == 0:
        raise UsageError(f"{name} is empty")
    xs, ys = zip(*(_sample(dataset, i, name) for i in range(count)), strict=True)
    return _join_parts(xs, f"x of {name}"), _join_parts(ys, f"y of {name}")


def _sample(dataset: Dataset[Any], index: int, name: str) -> tuple[Any, Any]:
    try:
        sample = dataset[index]
    except Exception as error:
        raise UsageError(f"{name} raised {explain(error)} at sample {index}") from error
    if not isinstance(sample, tuple | list) or len(sample) != 2:
        what = f"{len(sample)} values" if isinstance(sample, tuple | list) else f"a {_kind(sample)}"
        raise UsageError(f"{name} gives {what} at sample {index}: it must give pairs (x, y)")
    return sample[0], sample[1]


def _join_parts(values: tuple[Any, ...], name: str) -> Any:
    """Join samples of one part, or each part of samples that are dicts, or tuples of arrays."""
    first, _ = Parts.of(values[0], name)
    if first.keys is None:
        return _join(values, name)
    columns: list[list[Any]] = [[] for _ in first.keys]
    for index, value in enumerate(values):
        parts, found = Parts.of(value, name)
        if parts.keys != first.keys:
            raise UsageError(
                f"{name}: sample {index} consists of {', '.join(parts.names)} but sample 0 of "
                f"{', '.join(first.names)}: they must have the same parts"
            )
        for column, part in zip(columns, found, strict=True):
            column.append(part)
    return first.join([_join(tuple(c), part) for c, part in zip(columns, first.names, strict=True)])


def _join(values: tuple[Any, ...], name: str) -> Any:
    """One tensor, or a list of plain numbers or strings."""
    if isinstance(values[0], bool | int | float | str):
        return list(values)
    if not isinstance(values[0], Tensor):
        values = tuple(np.asarray(value) for value in values)  # images of PIL, too
    shapes = [tuple(np.shape(value)) for value in values]
    for index, shape in enumerate(shapes):
        if shape != shapes[0]:
            raise UsageError(
                f"{name}: sample {index} has shape {shape} but sample 0 has {shapes[0]}: bring "
                "them to one shape"
            )
    return torch.stack(values) if isinstance(values[0], Tensor) else np.stack(values)


def _kind(value: Any) -> str:
    return type(value).__name__
