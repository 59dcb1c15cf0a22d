"""Reading what the caller passed: every mistake becomes a sentence that says what arrived."""

import math
from collections.abc import Sequence
from numbers import Integral

import numpy as np
from numpy.typing import ArrayLike, NDArray

from normwise.errors import Problems

MaybeNumbers = ArrayLike | Sequence[float | None]

NAMED_AT_MOST = 5


def read_numbers(
    name: str, values: MaybeNumbers, problems: Problems, may_be_empty: bool = False
) -> NDArray[np.float64]:
    """Return `values` as a float64 vector, or note a mistake and return an empty one.

    None becomes `nan`.
    """
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        problems.add(f"{name}={values!r}: expected a sequence of numbers")
        return np.empty(0)
    if numbers.ndim != 1:
        problems.add(f"{name} has shape {numbers.shape}: expected a sequence of numbers")
        return np.empty(0)
    if not numbers.size and not may_be_empty:
        problems.add(f"{name} is empty: expected at least one number")
    return numbers


def read_sample(name: str, values: ArrayLike, problems: Problems) -> NDArray[np.float64]:
    """Return `values` as a float64 vector, one value per seed.

    Args:
        name: how the caller knows the sample, for the messages.
        values: a non-empty sequence of finite numbers.
        problems: where mistakes are noted; what is returned besides a mistake is of no use.

    Returns:
        The values, shape (n,).

    Example:
        >>> problems = Problems()
        >>> read_sample("baseline", [0.9, float("nan")], problems).shape
        (2,)
        >>> problems.found[0].split(".")[0]
        'baseline has values that are not finite: nan at position 1'
    """
    sample = read_numbers(name, values, problems)
    bad = np.flatnonzero(~np.isfinite(sample))
    if bad.size:
        found = ", ".join(f"{sample[i]} at position {i}" for i in bad[:NAMED_AT_MOST])
        more = f" and {bad.size - NAMED_AT_MOST} more" if bad.size > NAMED_AT_MOST else ""
        problems.add(
            f"{name} has values that are not finite: {found}{more}. A run that diverged is a "
            "result: give it the worst value that counts, such as that of guessing; leaving its "
            "seed out would hide it"
        )
    return sample


def check_same_seeds(
    name: str, sample: NDArray[np.float64], baseline: NDArray[np.float64], problems: Problems
) -> None:
    """Note a mistake where a sample and its baseline cannot be paired seed by seed."""
    if sample.size and baseline.size and sample.shape != baseline.shape:
        problems.add(
            f"{name} has {sample.size} values and the baseline {baseline.size}: they are compared "
            "seed by seed, so give both for the same seeds, in the same order"
        )


def check_share(name: str, value: float, usual: float, problems: Problems) -> None:
    """Note a mistake where a level is not strictly between 0 and 1."""
    if not 0 < value < 1:
        problems.add(f"{name}={value}: expected a share between 0 and 1, such as {usual}")


def check_margin(margin: float | None, problems: Problems) -> None:
    """Note a mistake where the margin of equivalence is no positive number."""
    if margin is not None and not 0 < margin < math.inf:
        problems.add(
            f"margin={margin}: expected the largest difference that does not matter, "
            "a positive number in the unit of the values, or None"
        )


def check_count(name: str, value: int, problems: Problems) -> None:
    """Note a mistake where a number of things is no whole number of at least 1."""
    if not isinstance(value, Integral) or value < 1:
        problems.add(f"{name}={value}: expected a whole number of at least 1")
