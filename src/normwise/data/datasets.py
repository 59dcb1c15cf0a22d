"""torch's map-style datasets, read once where they fit in memory."""

from collections.abc import Sized
from typing import Any

from torch.utils.data import Dataset

from normwise.data.joining import join_parts, read_pairs
from normwise.data.raw import Raw
from normwise.data.reading import sample_size, scan
from normwise.errors import Problems, UsageError


def read(
    train: Dataset[Any],
    test: Dataset[Any] | None = None,
    memory: int | None = None,
    readers: int | None = None,
) -> Raw:
    """Read every sample `(x, y)` of a dataset, or of two.

    Where all samples would take more memory than they may, their inputs are not kept.

    A transform that draws random numbers draws them once where the samples are kept: augmentation
    belongs into the training.

    Args:
        train: the samples, or those to train on.
        test: those to test on, or None.
        memory: bytes that the inputs may take, or None for any number.
        readers: worker processes that read what is not kept; None decides, see `load`.

    Raises:
        UsageError: a dataset has no length, a sample raises or is no pair, or shapes differ.
    """
    problems = Problems()
    datasets = [
        (dataset, f"the {role} dataset ({type(dataset).__name__})")
        for role, dataset in (("training", train), ("test", test))
        if dataset is not None
    ]
    counted = []
    for dataset, name in datasets:
        with problems.collect():
            counted.append((dataset, _count(dataset, name), name))
    keeps = problems.found or memory is None or _fit(counted, memory, problems)
    parts = []
    for dataset, count, name in counted:
        with problems.collect():
            parts.append(
                _stack(dataset, count, name) if keeps else scan(dataset, count, name, readers)
            )
    problems.raise_if_any()
    return Raw(type(train).__name__, *parts)


def _count(dataset: Dataset[Any], name: str) -> int:
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
    return count


def _fit(counted: list[tuple[Dataset[Any], int, str]], memory: int, problems: Problems) -> bool:
    """Tell whether all samples fit in memory, if they are as large as the first."""
    total = 0
    for dataset, count, name in counted:
        with problems.collect():
            total += count * sample_size(dataset, name)
    problems.raise_if_any()
    return total <= memory


def _stack(dataset: Dataset[Any], count: int, name: str) -> tuple[Any, Any]:
    numbers = range(count)
    xs, ys = zip(*read_pairs(dataset, numbers, name), strict=True)
    return join_parts(xs, f"x of {name}", numbers), join_parts(ys, f"y of {name}", numbers)
