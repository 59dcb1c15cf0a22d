"""Whatever holds numbers, as checked numpy arrays."""

import numbers
import reprlib
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from normwise.data.column import Column
from normwise.data.parts import Parts
from normwise.data.raw import Raw
from normwise.errors import Problems, UsageError

KINDS = {"b": "booleans", "i": "integers", "u": "integers", "U": "strings", "f": "floats"}


@dataclass(frozen=True)
class Target:
    """The targets of one head.

    Attributes:
        y: labels 0..C-1 (N,) int64, or values (N, ...) of the floating type of the samples.
        test: the same for the test split, where the source brings its own.
        labels: the names of the classes; empty for a regression.
    """

    y: np.ndarray
    test: np.ndarray | None
    labels: tuple[Any, ...]


@dataclass(frozen=True)
class Table:
    """Samples and targets as arrays.

    Attributes:
        name: what the data is called.
        inputs: what the samples consist of.
        heads: what the targets consist of.
        samples: the parts of the samples, each an array (N, ...), or a `Column`.
        test_samples: the same for the test split, or empty where the source brings none.
        targets: the parts of the targets.
    """

    name: str
    inputs: Parts
    heads: Parts
    samples: list[Any]
    test_samples: list[Any]
    targets: list[Target]

    @property
    def kinds(self) -> tuple[np.ndarray, tuple[Any, ...]]:
        """The class of every sample, by which splits are stratified, and what they are called.

        Of several heads the first with classes decides; without any all samples are of one kind.
        """
        for target in self.targets:
            if target.labels:
                return target.y, target.labels
        return np.zeros(len(self.samples[0]), dtype=np.int64), ("",)


def tabulate(raw: Raw, problems: Problems) -> Table | None:
    """Turn what a source holds into arrays, and add to `problems` all that is wrong with it.

    Returns:
        The arrays, or None where they are so wrong that nothing further can be said about them.
    """
    faults = Problems()
    roles = ("x", "y") if raw.test is None else ("x_train", "y_train", "x_test", "y_test")
    wholes = [
        Parts.of(value, role)
        for role, value in zip(roles, (*raw.train, *(raw.test or ())), strict=True)
    ]
    arrays: dict[str, Any] = {}
    for parts, values in wholes:
        for name, value in zip(parts.names, values, strict=True):
            with faults.collect():
                arrays[name] = _read(value, name)
    for name, array in arrays.items():
        with faults.collect():
            check_finite(array, name)
    unlike = Problems()
    forms = [parts for parts, _ in wholes]
    _check_forms(forms, unlike)
    if not unlike.found:
        _check_lengths(arrays, forms, unlike)
        for train, test in zip(forms[:2], forms[2:], strict=False):
            _check_alike(arrays, train, test, unlike)
    usable = len(arrays) == sum(len(parts.names) for parts in forms) and not unlike.found
    table = _finish(raw.name, arrays, forms, faults) if usable else None
    where = "" if raw.name == "arrays" else f"{raw.name}: "
    problems.add(*(where + problem for problem in faults.found + unlike.found))
    return table


def _finish(
    name: str, arrays: dict[str, np.ndarray], forms: list[Parts], faults: Problems
) -> Table:
    x, y, *test = ([arrays[name] for name in parts.names] for parts in forms)
    test_x, test_y = test or ([], [None] * len(y))
    if test_x:
        pairs = list(zip(x, test_x, strict=True))
        x = [_as_wide(part, other) for part, other in pairs]
        test_x = [
            other.astype(part.dtype, copy=False) for part, (_, other) in zip(x, pairs, strict=True)
        ]
    # A loss wants the targets in the type in which the network computes.
    floating = np.float64 if any(part.dtype == np.float64 for part in x) else np.float32
    targets = [
        _target(*each, floating, faults) for each in zip(y, test_y, forms[1].names, strict=True)
    ]
    return Table(name, forms[0], forms[1], x, test_x, targets)


def _as_wide(x: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Integers of the training split may become floats beside those of the test split."""
    return x if x.dtype.kind == "f" else x.astype(np.result_type(x.dtype, test.dtype), copy=False)


def _target(
    y: np.ndarray, test: np.ndarray | None, name: str, floating: type, faults: Problems
) -> Target:
    labels: tuple[Any, ...] = ()
    if y.dtype.kind != "f":
        labels, y, test = _name_classes(y, test, name, faults)
    kind = np.int64 if labels else floating
    return Target(y.astype(kind), None if test is None else test.astype(kind), labels)


def as_array(value: Any, name: str) -> np.ndarray:
    """Return a tensor, a data frame, nested lists or anything numpy reads as an array.

    Lists of Python floats become float32, as in torch; other types stay.

    Raises:
        UsageError: there is no such array.
    """
    try:
        if isinstance(value, Tensor):
            value = value.detach().cpu()
            narrow = value.is_floating_point() and value.dtype != torch.float64
            return (value.float() if narrow else value).numpy()
        array = np.asarray(value)
        if array.dtype == np.object_:
            array = _without_objects(array, name, getattr(value, "columns", None))
    except UsageError:
        raise
    except Exception as error:  # whose code runs here is not known: anything may come
        reason = str(error).partition("\n")[0]
        raise UsageError(
            f"{name} ({type(value).__name__}) cannot be read as one array; do all samples have "
            f"the same shape? ({reason})"
        ) from error
    if array.dtype == np.float16 or (array.dtype == np.float64 and _is_plain(value)):
        return array.astype(np.float32)
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        return array.astype(np.float64)
    return array.astype(array.dtype.newbyteorder("="), copy=False)  # torch knows no other order


def _is_plain(value: Any) -> bool:
    while isinstance(value, list | tuple) and value:
        value = value[0]
    return not hasattr(value, "dtype") and not hasattr(value, "__array__")


def _without_objects(array: np.ndarray, name: str, columns: Any) -> np.ndarray:
    """Data frames of mixed columns, and columns of strings, come as arrays of objects."""
    kinds = {type(item) for item in array.flat}
    for wanted, dtype in ((str, np.str_), (bool | np.bool_, bool), (numbers.Integral, np.int64)):
        if kinds and all(issubclass(kind, wanted) for kind in kinds):
            return array.astype(dtype)
    if all(issubclass(kind, numbers.Real | np.bool_) for kind in kinds):
        return array.astype(np.float64)
    found = ", ".join(sorted(kind.__name__ for kind in kinds))
    raise UsageError(
        f"{name} holds objects that are neither all numbers nor all strings ({found}), such as "
        f"{_odd_one(array, name, columns)}: convert them, and fill in or leave out what is missing"
    )


def _odd_one(array: np.ndarray, name: str, columns: Any) -> str:
    """Tell where the first sample that is no number is, or the first label of the rarest type."""
    types = [type(item) for item in array.flat]
    if name[0] == "x":
        odd = next(kind for kind in types if not issubclass(kind, numbers.Real))
    else:
        counts = Counter(types)
        odd = min(counts, key=lambda kind: counts[kind])
    place = types.index(odd)
    index = tuple(int(i) for i in np.unravel_index(place, array.shape))
    told = reprlib.repr(array[index])
    if columns is not None and array.ndim == 2:
        return f"{told} in column {columns[index[1]]!r}"
    return f"{told} at index {index}" if index else told


def _read(value: Any, name: str) -> Any:
    if isinstance(value, Column):
        return value  # its samples have been looked at, one by one
    return (read_samples if name[0] == "x" else _targets)(value, name)


def read_samples(value: Any, name: str) -> np.ndarray:
    """Return samples as an array that a network can take, (N, ...).

    Raises:
        UsageError: there are none, or they are no numbers.
    """
    array = as_array(value, name)
    if array.size == 0:
        raise UsageError(f"{name} is empty: its shape is {array.shape}")
    kind = array.dtype.kind
    is_category = kind in "iu" and name.endswith("]")  # one of several inputs, for an embedding
    if array.ndim < 2 and not (is_category and array.ndim):
        raise UsageError(
            f"{name} has shape {array.shape}: the first dimension counts the samples, and each "
            f"needs at least one of its own; pass {name}.reshape(-1, 1) for one number per sample"
        )
    if kind not in "biuf":
        raise UsageError(
            f"{name} holds {KINDS.get(kind, array.dtype)}, which a network cannot take: encode "
            "them as numbers"
        )
    if kind == "f":
        return array
    if kind == "b":
        return array.astype(np.float32)
    is_image = array.dtype == np.uint8 and array.ndim > 2
    return array if is_image else array.astype(np.int64)


def _targets(value: Any, name: str) -> np.ndarray:
    array = as_array(value, name)
    if array.size == 0:
        raise UsageError(f"{name} is empty: its shape is {array.shape}")
    if array.ndim == 0:
        raise UsageError(f"{name} is a single value: give one target per sample")
    if array.dtype.kind not in KINDS:
        raise UsageError(
            f"{name} holds {array.dtype}: give integers, booleans or strings as labels, or floats "
            "for a regression"
        )
    if array.dtype.kind == "f":
        return array
    if array.shape[1:] not in ((), (1,)):
        raise UsageError(
            f"{name} holds {KINDS[array.dtype.kind]} of shape {array.shape}: give one label per "
            f"sample (for one-hot rows {name}.argmax(1)), or floats for a regression"
        )
    return array.reshape(-1)


def check_finite(array: np.ndarray | Column, name: str) -> None:
    """Raise a `UsageError` where numbers are missing or infinite."""
    if isinstance(array, Column) or array.dtype.kind != "f":
        return
    bad = ~np.isfinite(array)
    if bad.any():
        first = tuple(int(i) for i in np.unravel_index(int(bad.argmax()), bad.shape))
        nans = int(np.isnan(array).sum())
        raise UsageError(
            f"{name} holds {nans} NaN and {int(bad.sum()) - nans} infinite values in "
            f"{int(bad.reshape(len(bad), -1).any(1).sum())} of {len(bad)} samples, the first at "
            f"index {first}: leave these samples out or fill the values in"
        )


def _check_forms(forms: list[Parts], problems: Problems) -> None:
    """Targets are an array or a dict of heads; what tests has the form of what trains."""
    for parts in forms:
        if parts.keys == ():
            problems.add(f"{parts.whole} is empty: it names no part")
        if parts.whole[0] == "y" and parts.keys and isinstance(parts.keys[0], int):
            problems.add(
                f"{parts.whole} is a tuple of {len(parts.keys)} arrays: name the heads, as in "
                f"{{'first': ..., 'second': ...}}, or stack the values of one regression"
            )
    for train, test in zip(forms[:2], forms[2:], strict=False):
        if train.keys != test.keys:
            problems.add(
                f"{train.whole} consists of {', '.join(train.names)} but {test.whole} of "
                f"{', '.join(test.names)}: they must have the same parts"
            )


def _check_lengths(arrays: dict[str, np.ndarray], forms: list[Parts], problems: Problems) -> None:
    for x, y in zip(forms[::2], forms[1::2], strict=True):
        found = [name for name in (*x.names, *y.names) if name in arrays]
        for name in found[1:]:
            first = found[0]
            if len(arrays[name]) != len(arrays[first]):
                rule = "one target per sample" if name[0] == "y" else "as many of each input"
                problems.add(
                    f"{first} has {len(arrays[first])} samples but {name} has "
                    f"{len(arrays[name])}: there must be {rule}"
                )


def _check_alike(
    arrays: dict[str, np.ndarray], of_train: Parts, of_test: Parts, problems: Problems
) -> None:
    for names in zip(of_train.names, of_test.names, strict=True):
        if not all(name in arrays for name in names):
            continue
        train, test = (arrays[name] for name in names)
        if train.shape[1:] != test.shape[1:]:
            problems.add(
                f"{names[0]} has samples of shape {train.shape[1:]} but {names[1]} of shape "
                f"{test.shape[1:]}: they must be the same"
            )
        kinds = [KINDS[array.dtype.kind] for array in (train, test)]
        if kinds[0] != kinds[1]:
            problems.add(
                f"{names[0]} holds {kinds[0]} but {names[1]} {kinds[1]}: they must be of one kind"
            )


def _name_classes(
    y: np.ndarray, test_y: np.ndarray | None, name: str, faults: Problems
) -> tuple[tuple[Any, ...], np.ndarray, np.ndarray | None]:
    """Return what the classes are called, and the labels as numbers 0..C-1."""
    labels, y = np.unique(y, return_inverse=True)
    if len(labels) == 1:
        faults.add(
            f"{name} holds one class only ({labels[0].item()!r}): there is nothing to tell apart"
        )
    if test_y is not None:
        test_name = name.replace("train", "test")
        unknown = np.setdiff1d(test_y, labels)
        if len(unknown):
            shown = ", ".join(repr(label) for label in unknown[:5].tolist())
            more = ", ..." if len(unknown) > 5 else ""
            faults.add(
                f"{test_name} holds {len(unknown)} labels that {name} does not ({shown}{more}): "
                "a network cannot learn what it is never shown"
            )
        test_y = np.searchsorted(labels, test_y)
    return tuple(labels.tolist()), y, test_y
