"""Several variants against one baseline, with the chance of any false verdict held."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from normwise.errors import Problems
from normwise.stats.paired import Paired, conclude
from normwise.stats.reading import (
    check_margin,
    check_same_seeds,
    check_share,
    read_numbers,
    read_sample,
)
from normwise.stats.signflip import SignFlip


def holm(pvalues: ArrayLike) -> NDArray[np.float64]:
    """Adjust p-values for their number, by Holm's step-down method.

    The k-th smallest of m is multiplied by m - k + 1, and is at least the adjusted one before it
    and at most 1. Calling significant what is at most alpha afterwards holds the chance of one or
    more false calls to alpha, however the tests depend on each other.

    Args:
        pvalues: m numbers from 0 to 1, in any order.

    Returns:
        The adjusted ones in the same order, shape (m,).

    Raises:
        UsageError: something that is no number from 0 to 1.

    References:
        Holm (1979), "A simple sequentially rejective multiple test procedure", Scandinavian
        Journal of Statistics 6.

    Example:
        >>> holm([0.01, 0.04, 0.02]).tolist()
        [0.03, 0.04, 0.04]
    """
    problems = Problems()
    p = read_numbers("pvalues", pvalues, problems, may_be_empty=True)
    if not np.all((p >= 0) & (p <= 1)):
        problems.add(f"pvalues={pvalues!r}: expected numbers from 0 to 1")
    problems.raise_if_any()
    adjusted = np.maximum.accumulate(np.sort(p) * (p.size - np.arange(p.size)))
    return np.minimum(adjusted, 1.0)[smaller(p)]


def family(
    treatments: Mapping[str, ArrayLike],
    baseline: ArrayLike,
    higher_is_better: bool = True,
    margin: float | None = None,
    alpha: float = 0.05,
) -> dict[str, Paired]:
    """Compare several variants with one baseline; Holm holds the chance of any false verdict.

    Each `p` is adjusted by `holm`: compare it with `alpha`. So that no interval contradicts its p,
    each interval has the level at which Holm judged that variant: the k-th smallest p of m, if
    rejected, was held against alpha/(m - k + 1); the first that is not rejected stops Holm at its
    own alpha/(m - k + 1), and all that follow are left at that level; equal p share the first
    rank. `Paired.alpha` is this level, so 0 lies in an interval if and only if its adjusted
    p > alpha. The intervals cover one by one at their levels; they are not a simultaneous band.

    Args:
        treatments: variant -> one finite number per seed, each of shape (n,).
        baseline: the same seeds' numbers in the same order, shape (n,).
        higher_is_better: True for an accuracy, False for a loss or a time.
        margin: the largest difference that does not matter; see `paired`.
        alpha: the chance of one or more false *better* or *worse* among all variants.

    Returns:
        One result per variant, in the order given; nothing where there is no variant.

    Raises:
        UsageError: all that is wrong with any of the samples, alpha and margin.

    Example:
        >>> plain = [0.91, 0.90, 0.92, 0.89, 0.91, 0.90, 0.92]
        >>> batch = [0.94, 0.92, 0.93, 0.93, 0.94, 0.92, 0.95]
        >>> layer = [0.92, 0.89, 0.92, 0.91, 0.90, 0.91, 0.93]
        >>> results = family({"batch": batch, "layer": layer}, plain)
        >>> {name: (r.verdict, r.p, r.alpha) for name, r in results.items()}
        {'batch': ('better', 0.03125, 0.025), 'layer': ('undecided', 0.53125, 0.05)}
    """
    problems = Problems()
    theirs = read_sample("baseline", baseline, problems)
    ours = {name: read_sample(repr(name), values, problems) for name, values in treatments.items()}
    for name, sample in ours.items():
        check_same_seeds(repr(name), sample, theirs, problems)
    check_margin(margin, problems)
    check_share("alpha", alpha, 0.05, problems)
    problems.raise_if_any()

    tests = {name: SignFlip.of(sample, theirs) for name, sample in ours.items()}
    raw = np.array([test.p for test in tests.values()])
    adjusted = holm(raw)
    judged_at = np.minimum(smaller(raw), np.count_nonzero(adjusted <= alpha))
    return {
        name: conclude(ours[name] - theirs, test, float(p), float(level), higher_is_better, margin)
        for (name, test), p, level in zip(
            tests.items(), adjusted, alpha / (len(tests) - judged_at), strict=True
        )
    }


def smaller(p: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return how many are smaller than each, so that equal ones are judged alike."""
    return np.searchsorted(np.sort(p), p)
