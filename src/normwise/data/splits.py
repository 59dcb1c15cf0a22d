"""Which sample goes into which split."""

import numbers
from dataclasses import dataclass
from typing import Any

import numpy as np

from normwise.errors import Problems, UsageError

Size = int | float

VAL_SHARE, VAL_MOST = 0.2, 5000
LARGEST_SEED = 2**32 - 1


@dataclass(frozen=True)
class Rows:
    """The row numbers of each split; `test` is empty where the source brings its own."""

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray


def check_size(name: str, size: Size) -> None:
    """Raise a `UsageError` unless the size of a split is a fraction or a number of samples."""
    if isinstance(size, numbers.Integral):
        right = size >= 0 and not isinstance(size, bool)
    else:
        right = isinstance(size, numbers.Real) and 0 < size < 1
    if not right:
        raise UsageError(
            f"{name}={size!r}: give a fraction between 0 and 1, or a whole number of samples, 0 "
            "for none"
        )


def check_seed(seed: int) -> None:
    """Raise a `UsageError` unless a seed is an integer from 0 to 2**32 - 1."""
    whole = isinstance(seed, numbers.Integral) and not isinstance(seed, bool)
    if not whole or not 0 <= seed <= LARGEST_SEED:
        raise UsageError(f"seed={seed!r}: give a whole number from 0 to {LARGEST_SEED}")


def divide(
    kinds: np.ndarray, labels: tuple[Any, ...], val: Size | None, test: Size | None, seed: int
) -> Rows:
    """Divide samples at random, with equal shares of every class in each split.

    Args:
        kinds: the class of each sample, 0..C-1; all 0 where there are no classes, since to
            stratify by one class is not to stratify.
        labels: the names of the C classes, for the messages.
        val: the validation split; see `load`.
        test: the test split, or None to take none.
        seed: decides.

    Returns:
        The rows of each split, in random order.

    Raises:
        UsageError: there are too few samples, or too few of a class.
    """
    problems = Problems()
    test_count = 0 if test is None else _count(test, len(kinds))
    left = len(kinds) - test_count
    val_count = min(_count(VAL_SHARE, left), VAL_MOST) if val is None else _count(val, left)
    with problems.collect():
        _check_counts(len(kinds), test_count, val_count, len(labels))
    with problems.collect():
        _check_classes(kinds, labels, splits=2 if test is None else 3)
    problems.raise_if_any()

    rows = np.arange(len(kinds))
    rest, test_rows = (
        _take(rows, kinds, labels, test_count, seed) if test_count else (rows, rows[:0])
    )
    train_rows, val_rows = (
        _take(rest, kinds, labels, val_count, seed) if val_count else (rest, rest[:0])
    )
    _check_left(kinds[train_rows], labels, least=1)
    return Rows(train_rows, val_rows, test_rows)


def _count(size: Size, total: int) -> int:
    return int(size) if isinstance(size, numbers.Integral) else max(1, round(size * total))


def _take(
    rows: np.ndarray, kinds: np.ndarray, labels: tuple[Any, ...], count: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.model_selection import train_test_split  # a second to import

    _check_left(kinds[rows], labels, least=2)
    rest, taken = train_test_split(rows, test_size=count, random_state=seed, stratify=kinds[rows])
    return np.asarray(rest), np.asarray(taken)


def _check_counts(total: int, test: int, val: int, classes: int) -> None:
    problems = Problems()
    for name, count in (("test", test), ("val", val)):
        if 0 < count < classes:
            problems.add(
                f"the {name} split of {_samples(count)} is smaller than the number of classes, "
                f"{classes}: ask for {name}={classes} or more"
            )
    train, least = total - test - val, max(2, classes)
    if train < least:
        problems.add(
            f"{_samples(total)} are too few: {test} for testing and {val} for validation leave "
            f"{max(train, 0)} to train on, where at least {least} are needed. Give more data, or "
            "a smaller val and test"
        )
    problems.raise_if_any()


def _check_classes(kinds: np.ndarray, labels: tuple[Any, ...], splits: int) -> None:
    counts = np.bincount(kinds, minlength=len(labels))
    small = np.flatnonzero(counts < splits)
    if len(small) and len(labels) > 1:
        fewest = int(counts.argmin())
        raise UsageError(
            f"y: {len(small)} of {len(labels)} classes have fewer than {splits} samples, too few "
            f"for {splits} splits (label {labels[fewest]!r} has {counts[fewest]}). Give more "
            "samples or leave these classes out; if y is a quantity and no label, pass it as floats"
        )


def _check_left(kinds: np.ndarray, labels: tuple[Any, ...], least: int) -> None:
    counts = np.bincount(kinds, minlength=len(labels))
    fewest = int(counts.argmin())
    if counts[fewest] < least:
        raise UsageError(
            f"y: too few samples of label {labels[fewest]!r} are left to train on: give more of "
            "them, or a smaller val and test"
        )


def _samples(count: int) -> str:
    return "1 sample" if count == 1 else f"{count} samples"
