"""One variant against the baseline, seed by seed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from normwise.errors import Problems
from normwise.stats.reading import check_margin, check_same_seeds, check_share, read_sample
from normwise.stats.signflip import SignFlip
from normwise.stats.verdict import Verdict, verdict


@dataclass(frozen=True)
class Paired:
    """What a paired comparison found. `p` and the interval never contradict each other.

    Attributes:
        difference: mean over the seeds of treatment - baseline, in their unit.
        low: lower end of its interval; `-inf` where the seeds are too few to bound it.
        high: upper end; `inf` likewise.
        p: two-sided p of "no difference"; adjusted by Holm where it comes from `family`.
        verdict: `"better"`, `"worse"`, `"equivalent"` or `"undecided"`.
        n: number of seeds.
        alpha: the level of the interval, which covers with probability 1 - alpha.

    Example:
        >>> result = paired([0.9, 0.8], [0.7, 0.8])
        >>> result.low, result.high, result.p, result.verdict, result.n
        (-inf, inf, 1.0, 'undecided', 2)
    """

    difference: float
    low: float
    high: float
    p: float
    verdict: Verdict
    n: int
    alpha: float


def paired(
    treatment: ArrayLike,
    baseline: ArrayLike,
    higher_is_better: bool = True,
    margin: float | None = None,
    alpha: float = 0.05,
) -> Paired:
    """Compare a treatment with a baseline over the same seeds: effect, interval, p, verdict.

    The test flips the signs of the per-seed differences and compares their mean; it assumes that
    differences are symmetric around the effect, which those of exchangeable runs are whatever the
    runs' own distribution. It is exact: all 2^n signs up to n = 16, beyond that 2^16 of them that
    form a group (fixed, so the result is the same every time; it then depends, in the third digit,
    on the order of the seeds). The interval holds precisely the effects that the test does not
    reject, so 0 lies in it if and only if p > alpha. With n < 6 seeds no p can reach 0.05 and the
    interval is unbounded.

    Args:
        treatment: one finite number per seed, shape (n,).
        baseline: the same seeds' numbers in the same order, shape (n,).
        higher_is_better: True for an accuracy, False for a loss or a time.
        margin: the largest difference that does not matter, in the unit of the numbers; without
            it no verdict is *equivalent*.
        alpha: one minus the interval's coverage.

    Returns:
        The difference with its interval, p and verdict.

    Raises:
        UsageError: numbers missing, not finite or of unequal count; alpha or margin out of range.

    References:
        Fisher (1935), The Design of Experiments, section 21 (the test); Hartigan (1969), "Using
        subsample values as typical values", JASA 64 (the interval).

    Example:
        >>> plain = [0.91, 0.90, 0.92, 0.89, 0.91, 0.90]
        >>> batch = [0.94, 0.92, 0.93, 0.93, 0.94, 0.92]
        >>> result = paired(batch, plain)
        >>> f"{result.difference:.3f} [{result.low:.3f}, {result.high:.3f}] p={result.p}"
        '0.025 [0.010, 0.040] p=0.03125'
        >>> result.verdict
        'better'
        >>> paired(batch[:5], plain[:5]).verdict
        'undecided'
    """
    problems = Problems()
    ours = read_sample("treatment", treatment, problems)
    theirs = read_sample("baseline", baseline, problems)
    check_same_seeds("treatment", ours, theirs, problems)
    check_margin(margin, problems)
    check_share("alpha", alpha, 0.05, problems)
    problems.raise_if_any()
    test = SignFlip.of(ours, theirs)
    return conclude(ours - theirs, test, test.p, alpha, higher_is_better, margin)


def conclude(
    differences: NDArray[np.float64],
    test: SignFlip,
    p: float,
    alpha: float,
    higher_is_better: bool,
    margin: float | None,
) -> Paired:
    """Return the result for a test whose (possibly adjusted) p and interval level are decided."""
    low, high = test.interval(alpha)
    # The mean always lies in the interval, but rounding may put it a last digit outside.
    difference = min(max(float(differences.mean()), low), high)
    word = verdict(low, high, higher_is_better, margin)
    return Paired(difference, low, high, p, word, len(differences), alpha)
