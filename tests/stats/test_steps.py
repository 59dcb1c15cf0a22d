import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import CensoredData, binomtest, ecdf

from normwise.errors import UsageError
from normwise.stats import (
    capped,
    kaplan_meier,
    paired,
    paired_steps,
    steps_to_target,
    wilson,
)

BUDGET = 500
ARRIVALS = st.lists(st.none() | st.integers(0, 12).map(lambda k: 50 * k), min_size=1, max_size=12)


def test_first_step_that_reaches_the_target():
    steps, accuracy = [10, 20, 30, 40], [0.5, 0.9, 0.7, 0.95]
    assert steps_to_target(steps, accuracy, 0.9) == 20  # reached stays reached
    assert steps_to_target(steps, accuracy, 0.5) == 10  # equal counts
    assert steps_to_target(steps, accuracy, 0.96) is None
    assert steps_to_target(steps, [math.nan, 0.9, 0.7, 0.95], 0.5) == 20
    assert steps_to_target(steps, [2.0, 1.0, 0.4, 0.6], 0.5, higher_is_better=False) == 30
    assert steps_to_target([], [], 0.5) is None
    assert type(steps_to_target(np.array(steps), np.array(accuracy), 0.9)) is int


def test_steps_and_values_must_match():
    with pytest.raises(UsageError) as caught:
        steps_to_target([1, 2], [0.5], math.nan)
    assert "2 steps and 1 values" in caught.value.problems[0]
    assert caught.value.problems[1].startswith("target=nan")


@given(ARRIVALS)
def test_curve_agrees_with_scipys_kaplan_meier(arrivals: list[int | None]):
    curve = kaplan_meier(arrivals, BUDGET)
    arrived = [step for step in arrivals if step is not None and step <= BUDGET]
    censored = CensoredData(arrived, right=[BUDGET] * (len(arrivals) - len(arrived)))
    theirs = ecdf(censored).cdf
    assert curve.reached == pytest.approx(theirs.evaluate(curve.times), abs=1e-12)
    assert set(arrived) <= set(curve.times)
    assert curve.times[0] == 0
    assert curve.times[-1] == BUDGET
    assert list(curve.times) == sorted(set(curve.times))


@given(ARRIVALS)
def test_summaries_of_the_curve(arrivals: list[int | None]):
    curve = kaplan_meier(arrivals, BUDGET)
    n = len(arrivals)
    arrived = sorted(step for step in arrivals if step is not None and step <= BUDGET)
    assert (curve.n, curve.budget) == (n, BUDGET)
    assert curve.success.estimate == len(arrived) / n
    # the restricted mean is the area over the curve up to the budget
    widths, heights = np.diff(curve.times), 1 - np.array(curve.reached[:-1])
    assert curve.restricted_mean == pytest.approx(float(widths @ heights))
    if 2 * len(arrived) >= n:
        assert curve.median == arrived[math.ceil(n / 2) - 1]
    else:
        assert math.isnan(curve.median)
    for reached, low, high in zip(curve.reached, curve.low, curve.high, strict=True):
        theirs = binomtest(round(reached * n), n).proportion_ci(method="wilson")
        assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_none_nan_and_late_are_all_never():
    late = kaplan_meier([100, 501], BUDGET)
    assert kaplan_meier([100, None], BUDGET) == late
    assert kaplan_meier([100, math.nan], BUDGET) == late
    assert kaplan_meier(np.array([100, np.inf]), BUDGET) == late
    assert late.success.estimate == 0.5
    assert kaplan_meier([100, 500], BUDGET).success.estimate == 1.0  # in the last step is in time
    nobody = kaplan_meier([None, None, None], BUDGET)
    assert (nobody.times, nobody.reached) == ((0.0, 500.0), (0.0, 0.0))
    assert nobody.low == (0.0, 0.0)
    assert nobody.restricted_mean == BUDGET


@pytest.mark.parametrize("level", [0.5, 0.95])
@pytest.mark.parametrize(("successes", "n"), [(0, 1), (1, 1), (0, 6), (2, 2), (3, 10), (7, 200)])
def test_wilson_agrees_with_scipy_and_stays_in_range(successes: int, n: int, level: float):
    ours = wilson(successes, n, level)
    theirs = binomtest(successes, n).proportion_ci(level, method="wilson")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert 0 <= ours.low <= ours.estimate == successes / n <= ours.high <= 1


def test_paired_steps_compares_what_was_spent_of_the_budget():
    fast, slow = [100, 150, 200, 150, 100, None], [300, 400, None, 600, 300, None]
    result = paired_steps(fast, slow, BUDGET)
    by_hand = paired(
        [100, 150, 200, 150, 100, 500], [300, 400, 500, 500, 300, 500], higher_is_better=False
    )
    assert result == by_hand
    assert result.difference == pytest.approx(-1300 / 6)
    means = [kaplan_meier(steps, BUDGET).restricted_mean for steps in (fast, slow)]
    assert result.difference == pytest.approx(means[0] - means[1])
    fast[-1] = 120
    assert paired_steps(fast, slow, BUDGET).verdict == "better"
    assert paired_steps(slow, fast, BUDGET).verdict == "worse"
    strict = paired_steps(fast, slow, BUDGET, margin=400, alpha=0.04)
    assert (strict.verdict, strict.alpha) == ("equivalent", 0.04)


def test_capped_is_what_paired_steps_compares():
    assert capped([100, None, 600, math.nan, 500], BUDGET).tolist() == [100, 500, 500, 500, 500]


def test_mistakes_come_at_once():
    with pytest.raises(UsageError) as caught:
        kaplan_meier([-1, None], budget=0, level=2)
    assert [problem.split(" ")[0] for problem in caught.value.problems] == [
        "steps",
        "budget=0:",
        "level=2:",
    ]
    with pytest.raises(UsageError) as caught:
        paired_steps([], [[1]], budget=math.inf, margin=0, alpha=1)  # type: ignore[list-item]
    assert len(caught.value.problems) == 5
    with pytest.raises(UsageError, match="1 values and the baseline 2"):
        paired_steps([1], [1, 2], BUDGET)
    with pytest.raises(UsageError, match="steps is empty"):
        capped([], BUDGET)
    with pytest.raises(UsageError, match=r"n=0[\s\S]*successes=1"):
        wilson(1, 0)
