"""Steps to target, where some runs never arrive."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from normwise.errors import Problems
from normwise.stats.interval import Interval
from normwise.stats.paired import Paired, paired
from normwise.stats.reading import (
    MaybeNumbers,
    check_count,
    check_margin,
    check_same_seeds,
    check_share,
    read_numbers,
)


@dataclass(frozen=True)
class Survival:
    """When the runs of one variant reached the target.

    Attributes:
        times: steps at which the share changes, from 0 to the budget, ascending.
        reached: share of runs that have arrived by each of `times`; constant in between.
        low: lower end of each share's own (pointwise) interval.
        high: its upper end.
        median: step by which half of the runs have arrived; `nan` where fewer ever do.
        restricted_mean: mean of min(steps, budget): the steps spent, in a budget, on the target.
        success: share of runs that arrive within the budget, with its interval.
        n: number of runs.
        budget: step at which every run that has not arrived stops being watched.

    Example:
        >>> curve = kaplan_meier([200, None, None], budget=500)
        >>> curve.times, curve.median
        ((0.0, 200.0, 500.0), nan)
    """

    times: tuple[float, ...]
    reached: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    median: float
    restricted_mean: float
    success: Interval
    n: int
    budget: float


def steps_to_target(
    steps: Sequence[int] | NDArray[np.integer],
    values: ArrayLike,
    target: float,
    higher_is_better: bool = True,
) -> int | None:
    """Return the first evaluated step whose value reaches the target; None where none does.

    It is known only to the evaluation interval: the target was reached after the evaluation
    before. A value of `nan` reaches nothing.

    Args:
        steps: step of each evaluation, shape (k,); k may be 0.
        values: value at each evaluation, shape (k,).
        target: reached by a value equal to it or better.
        higher_is_better: True for an accuracy, False for a loss.

    Returns:
        The step, or None.

    Raises:
        UsageError: unequal counts, or a target that is `nan`.

    Example:
        >>> steps_to_target([100, 200, 300], [0.80, 0.95, 0.93], target=0.95)
        200
        >>> steps_to_target([100, 200, 300], [0.80, 0.91, 0.93], target=0.95) is None
        True
    """
    problems = Problems()
    at = read_numbers("steps", steps, problems, may_be_empty=True)
    measured = read_numbers("values", values, problems, may_be_empty=True)
    if at.shape != measured.shape and not problems.found:
        problems.add(
            f"{at.size} steps and {measured.size} values: expected one of each per evaluation"
        )
    if math.isnan(target):
        problems.add(f"target={target}: expected a number that values can reach")
    problems.raise_if_any()
    arrived = at[measured >= target if higher_is_better else measured <= target]
    return int(arrived.min()) if arrived.size else None


def capped(steps: MaybeNumbers, budget: float) -> NDArray[np.float64]:
    """Return min(steps, budget), with runs that never arrive at the budget.

    These are numbers that `paired` and `family` can compare, lower being better; their mean is the
    restricted mean. A run that needs the whole budget and one that never arrives count the same.

    Args:
        steps: one per seed, None (or `nan`) for a run that never arrived, shape (n,).
        budget: steps that every run was given, above 0.

    Returns:
        The capped steps, shape (n,).

    Raises:
        UsageError: no runs, a step below 0 or a budget that is not a positive number.

    Example:
        >>> capped([120, None, 300], budget=250).tolist()
        [120.0, 250.0, 250.0]
    """
    problems = Problems()
    arrivals = read_steps("steps", steps, problems)
    check_budget(budget, problems)
    problems.raise_if_any()
    return np.minimum(arrivals, budget)


def kaplan_meier(steps: MaybeNumbers, budget: float, level: float = 0.95) -> Survival:
    """Describe when runs reach the target: curve, median, restricted mean, success rate.

    A run that has not arrived by the budget is censored there. As no run is censored earlier, all
    n are at risk until they arrive, and the Kaplan-Meier estimate of having arrived is the plain
    share. Its interval at each step is Wilson's, which, unlike Greenwood's, exists when none or
    all have arrived. Between two evaluations nothing is known: the curve is as fine as the
    evaluation interval.

    Args:
        steps: one per seed, None (or `nan`) for a run that never arrived, shape (n,).
        budget: steps that every run was given, above 0; later arrivals count as none.
        level: coverage of the intervals, each by itself.

    Returns:
        The curve and what it says.

    Raises:
        UsageError: no runs, a step below 0, a budget that is not a positive number or a level not
            between 0 and 1.

    References:
        Kaplan and Meier (1958), "Nonparametric estimation from incomplete observations", JASA 53;
        Royston and Parmar (2013), "Restricted mean survival time", BMC Medical Research
        Methodology 13.

    Example:
        >>> curve = kaplan_meier([200, 300, None, 200], budget=500)
        >>> curve.times, curve.reached
        ((0.0, 200.0, 300.0, 500.0), (0.0, 0.5, 0.75, 0.75))
        >>> curve.median, curve.restricted_mean, curve.success.estimate
        (200.0, 300.0, 0.75)
    """
    problems = Problems()
    arrivals = read_steps("steps", steps, problems)
    check_budget(budget, problems)
    check_share("level", level, 0.95, problems)
    problems.raise_if_any()
    n = arrivals.size
    times = np.unique([0.0, *np.minimum(arrivals, budget), budget])
    curve = [wilson(int(np.count_nonzero(arrivals <= time)), n, level) for time in times]
    reached = [point.estimate for point in curve]
    return Survival(
        times=tuple(times.tolist()),
        reached=tuple(reached),
        low=tuple(point.low for point in curve),
        high=tuple(point.high for point in curve),
        median=next((float(t) for t, r in zip(times, reached, strict=True) if r >= 0.5), math.nan),
        restricted_mean=float(np.minimum(arrivals, budget).mean()),
        success=curve[-1],
        n=n,
        budget=budget,
    )


def paired_steps(
    treatment: MaybeNumbers,
    baseline: MaybeNumbers,
    budget: float,
    margin: float | None = None,
    alpha: float = 0.05,
) -> Paired:
    """Compare steps to target over the same seeds: `paired` on min(steps, budget), lower is better.

    The difference is one of restricted means: steps saved (below 0) or lost within the budget.
    For several variants give `capped` steps to `family`, with `higher_is_better=False`.

    Args:
        treatment: one per seed, None (or `nan`) for a run that never arrived, shape (n,).
        baseline: the same seeds' steps in the same order, shape (n,).
        budget: steps that every run was given, above 0.
        margin: the largest difference in steps that does not matter; see `paired`.
        alpha: one minus the interval's coverage.

    Returns:
        The difference in steps with its interval, p and verdict.

    Raises:
        UsageError: as `capped` and `paired`.

    Example:
        >>> batch = [200, 250, 200, 300, 250, 200]
        >>> plain = [400, None, 350, None, 450, 400]
        >>> result = paired_steps(batch, plain, budget=500)
        >>> round(result.difference), result.verdict
        (-200, 'better')
    """
    problems = Problems()
    ours = read_steps("treatment", treatment, problems)
    theirs = read_steps("baseline", baseline, problems)
    check_same_seeds("treatment", ours, theirs, problems)
    check_budget(budget, problems)
    check_margin(margin, problems)
    check_share("alpha", alpha, 0.05, problems)
    problems.raise_if_any()
    return paired(
        np.minimum(ours, budget),
        np.minimum(theirs, budget),
        higher_is_better=False,
        margin=margin,
        alpha=alpha,
    )


def wilson(successes: int, n: int, level: float = 0.95) -> Interval:
    """Return a success rate with Wilson's score interval.

    Args:
        successes: how many of n succeeded, from 0 to n.
        n: number of runs, at least 1.
        level: the interval's nominal coverage.

    Returns:
        successes/n and its interval, within [0, 1].

    Raises:
        UsageError: an argument out of range.

    References:
        Wilson (1927), "Probable inference, the law of succession, and statistical inference",
        JASA 22.

    Example:
        >>> rate = wilson(9, 10)
        >>> f"{rate.estimate:.2f} [{rate.low:.2f}, {rate.high:.2f}]"
        '0.90 [0.60, 0.98]'
    """
    problems = Problems()
    check_count("n", n, problems)
    check_share("level", level, 0.95, problems)
    if not 0 <= successes <= n:
        problems.add(f"successes={successes}: expected a number from 0 to n={n}")
    problems.raise_if_any()
    z = float(ndtri((1 + level) / 2))
    share = successes / n
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    # At 0 and at n successes one end equals the rate; rounding must not put it elsewhere.
    low = min(max(middle - half, 0.0), share)
    return Interval(share, low, max(min(middle + half, 1.0), share))


def read_steps(name: str, steps: MaybeNumbers, problems: Problems) -> NDArray[np.float64]:
    """Return steps as float64, `inf` where a run never arrived, shape (n,); note mistakes."""
    arrivals = read_numbers(name, steps, problems)
    if np.any(arrivals < 0):
        problems.add(f"{name} has the step {np.nanmin(arrivals):g}: steps count from 0")
    return np.where(np.isnan(arrivals), np.inf, arrivals)


def check_budget(budget: float, problems: Problems) -> None:
    """Note a mistake where the budget is no positive number of steps."""
    if not 0 < budget < math.inf:
        problems.add(f"budget={budget}: expected the steps each run was given, a positive number")
