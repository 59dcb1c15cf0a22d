"""`paired` on hand-made data, and its promises under simulation."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from normwise.errors import UsageError
from normwise.stats import paired

REPETITIONS = {6: 2000, 10: 2000, 20: 800}
Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
RUNS: dict[str, Draw] = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "skewed": lambda rng, shape: rng.lognormal(sigma=1.5, size=shape),
}


def test_six_seeds_by_hand():
    # All six differences are positive, so only "no flip" and "all flipped" are as extreme:
    # p = 2/64, and the interval runs from the smallest to the largest difference.
    result = paired([4, 6, 5, 8, 7, 9], [1, 2, 3, 3, 1, 1])
    assert result.difference == pytest.approx((3 + 4 + 2 + 5 + 6 + 8) / 6)
    assert (result.low, result.high, result.p) == (2.0, 8.0, 2 / 64)
    assert (result.verdict, result.n, result.alpha) == ("better", 6, 0.05)


def test_seven_seeds_by_hand():
    # 0.05 * 128 / 2 = 3.2, so the ends are the third smallest and the third largest subset mean:
    # 1, (1 + 2)/2, 2 from below; 64, (64 + 32)/2, (64 + 16)/2 from above.
    result = paired([1, 2, 4, 8, 16, 32, 64], [0] * 7)
    assert (result.low, result.high, result.p) == (2.0, 40.0, 2 / 128)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_too_few_seeds_bound_nothing(n: int):
    result = paired([1.0] * n, [0.0] * n, margin=100)
    assert (result.low, result.high) == (-math.inf, math.inf)
    assert result.p == 2 / 2**n
    assert result.verdict == "undecided"
    assert result.difference == 1.0


def test_rounding_leaves_the_difference_in_its_interval():
    result = paired([0.3] * 10, [0.0] * 10)  # whose mean is 0.29999999999999993
    assert (result.low, result.difference, result.high) == (0.3, 0.3, 0.3)


def test_direction_and_margin_reach_the_verdict():
    low, high = [0.1, 0.2, 0.3, 0.2, 0.1, 0.2], [0.3, 0.5, 0.4, 0.3, 0.2, 0.4]
    assert paired(high, low).verdict == "better"
    assert paired(high, low, higher_is_better=False).verdict == "worse"
    assert paired(low, high).verdict == "worse"
    assert paired(low, high, margin=0.5).verdict == "equivalent"
    assert paired(low, low).verdict == "undecided"
    assert paired(low, low, margin=1e-6).verdict == "equivalent"


def test_alpha_narrows_the_interval():
    rng = np.random.default_rng(0)
    treatment, baseline = rng.normal(size=(2, 12))
    strict, loose = (paired(treatment, baseline, alpha=a) for a in (0.01, 0.2))
    assert strict.low < loose.low < loose.difference < loose.high < strict.high
    assert strict.p == loose.p
    assert (strict.alpha, loose.alpha) == (0.01, 0.2)


def test_beyond_sixteen_seeds_the_result_is_the_same_every_time():
    treatment, baseline = np.random.default_rng(0).normal(size=(2, 25))
    assert paired(treatment, baseline) == paired(treatment, baseline)


def test_all_mistakes_come_at_once():
    with pytest.raises(UsageError) as caught:
        paired([0.9, float("nan")], [0.8], margin=-1, alpha=5)
    assert [problem.split("=")[0].split(" has")[0] for problem in caught.value.problems] == [
        "treatment",
        "treatment",
        "margin",
        "alpha",
    ]


@given(
    st.lists(
        st.tuples(*[st.one_of(st.sampled_from([0.0, 0.1, 0.2, 0.3]), st.floats(-1e6, 1e6))] * 2),
        min_size=1,
        max_size=19,
    ),
    st.floats(0.001, 0.5),
    st.sampled_from([None, 0.1, 1e4]),
    st.booleans(),
)
def test_parts_of_a_result_never_contradict_each_other(
    pairs: list[tuple[float, float]], alpha: float, margin: float | None, higher: bool
):
    treatment, baseline = zip(*pairs, strict=True)
    result = paired(treatment, baseline, higher, margin, alpha)
    assert (result.low <= 0 <= result.high) == (result.p > alpha)
    assert result.low <= result.difference <= result.high
    if result.verdict in ("better", "worse"):
        assert result.p <= alpha
        assert (result.difference > 0) == (higher == (result.verdict == "better"))
    elif result.verdict == "equivalent":
        assert margin is not None
        assert max(-result.low, result.high) <= margin
    else:
        assert result.p > alpha

    swapped = paired(baseline, treatment, not higher, margin, alpha)
    assert (swapped.p, swapped.verdict) == (result.p, result.verdict)
    assert (swapped.low, swapped.high) == (-result.high, -result.low)


@pytest.mark.parametrize("runs", RUNS)
@pytest.mark.parametrize("n", REPETITIONS)
def test_a_variant_against_itself_and_against_itself_shifted(n: int, runs: str):
    """A/A: at most 5 % false verdicts; shifted: the interval covers the shift in 94 to 99 %."""
    repetitions, shift = REPETITIONS[n], 3.0
    draws = RUNS[runs](np.random.default_rng(n), (repetitions, 2, n))
    false = covered = 0
    for treatment, baseline in draws:
        false += paired(treatment, baseline).verdict != "undecided"
        moved = paired(treatment + shift, baseline)
        covered += moved.low <= shift <= moved.high
    # The most that a true rate of 5 % gives in 999 of 1000 simulations.
    assert false <= binom.ppf(0.999, repetitions, 0.05)
    assert covered / repetitions >= 0.94
    if n >= 10:
        assert covered / repetitions <= 0.99
        assert false >= binom.ppf(0.001, repetitions, 0.045)  # exact, not merely cautious


def test_verdicts_are_found_where_there_is_something_to_find():
    rng = np.random.default_rng(1)
    found = sum(
        paired(rng.normal(1.5, size=10), rng.normal(size=10)).verdict == "better"
        for _ in range(500)
    )
    # The t-test's power for a shift of 1.5 / sqrt(2) standard deviations, n = 10, is 0.86.
    assert found / 500 >= 0.78
