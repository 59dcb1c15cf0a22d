"""The table of subset means against enumeration in exact fractions and against scipy."""

from fractions import Fraction
from itertools import combinations, product
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import permutation_test

from normwise.stats.signflip import EXACT_UP_TO, SignFlip, labels, odd_overlap, subset_sizes

THOUSANDTHS = st.lists(st.tuples(*[st.integers(-20, 20)] * 2), min_size=1, max_size=6)


def table(differences: list[float]) -> SignFlip:
    return SignFlip.of(np.array(differences), np.zeros(len(differences)))


def slow_p(differences: list[int], centre: int = 0) -> Fraction:
    """The share of sign choices whose mean is at least as far from the centre: the definition."""
    moved = [d - centre for d in differences]
    means = [
        abs(sum(s * d for s, d in zip(signs, moved, strict=True)))
        for signs in product([1, -1], repeat=len(moved))
    ]
    return Fraction(sum(mean >= means[0] for mean in means), len(means))


def thousandths(pairs: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Decimals as a user has them, rounded in binary, and their differences in whole 1/60000.

    In that unit all means over up to 6 of them are whole too.
    """
    treatment, baseline = zip(*pairs, strict=True)
    exact = [60 * (t - b) for t, b in pairs]
    return np.array(treatment) / 1000, np.array(baseline) / 1000, exact


@given(THOUSANDTHS)
def test_p_is_the_share_of_all_signs_ties_and_zeros_included(pairs: list[tuple[int, int]]):
    treatment, baseline, exact = thousandths(pairs)
    assert SignFlip.of(treatment, baseline).p == float(slow_p(exact))


@given(THOUSANDTHS, st.floats(0.01, 0.9))
def test_interval_holds_the_centres_that_the_test_does_not_reject(
    pairs: list[tuple[int, int]], alpha: float
):
    treatment, baseline, exact = thousandths(pairs)
    low, high = SignFlip.of(treatment, baseline).interval(alpha)
    means = sorted(
        {
            sum(chosen) // len(chosen)
            for size in range(1, len(exact) + 1)
            for chosen in combinations(exact, size)
        }
    )
    # p changes only at subset means, so the kept centres run from one mean to another.
    kept = [mean for mean in means if slow_p(exact, mean) > alpha]
    if slow_p(exact, means[0] - 1) > alpha:
        assert (low, high) == (-np.inf, np.inf)
    else:
        assert low == pytest.approx(kept[0] / 60_000, abs=1e-15)
        assert high == pytest.approx(kept[-1] / 60_000, abs=1e-15)


@given(THOUSANDTHS, st.floats(0.001, 0.999))
def test_zero_is_in_the_interval_exactly_where_p_exceeds_alpha(
    pairs: list[tuple[int, int]], alpha: float
):
    treatment, baseline, _ = thousandths(pairs)
    test = SignFlip.of(treatment, baseline)
    for level in (alpha, test.p if test.p < 1 else 0.5):  # p itself is a level the test attains
        low, high = test.interval(level)
        assert (low <= 0 <= high) == (test.p > level)


def test_rounding_makes_no_difference_out_of_none():
    tenth = SignFlip.of(np.array([0.3, 0.2, 0.1] * 3), np.array([0.2, 0.3, 0.1] * 3))
    assert tenth.p == 1.0  # 0.3 - 0.2 and 0.2 - 0.3 cancel
    thirds = SignFlip.of(np.array([0.1 + 0.2] * 6), np.array([0.3] * 6))
    assert thirds.p == 1.0
    assert thirds.interval(0.05) == (0.0, 0.0)
    assert table([1e-12] * 6).p == 2 / 64  # small is not the same as none


@pytest.mark.parametrize("n", [6, 9, 12])
def test_p_agrees_with_scipy(n: int):
    rng = np.random.default_rng(n)
    treatment, baseline = rng.gamma(2.0, size=(2, n))
    treatment += 0.8
    theirs = permutation_test(
        (treatment, baseline),
        lambda t, b, axis: np.mean(t - b, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=np.inf,
    )
    assert SignFlip.of(treatment, baseline).p == pytest.approx(theirs.pvalue, abs=1e-12)


def test_p_beyond_sixteen_is_near_the_one_over_all_signs():
    rng = np.random.default_rng(0)
    numbers = np.arange(2**18)[:, None] >> np.arange(18) & 1
    for shift in (0.2, 0.5, 0.8):
        differences = rng.normal(shift, size=18)
        means = np.abs((1 - 2 * numbers) @ differences)
        everything = np.mean(means >= means[0] * (1 - 1e-12))
        assert table(list(differences)).p == pytest.approx(everything, abs=0.004)


def test_singletons_are_the_differences_themselves():
    differences = np.random.default_rng(1).normal(size=EXACT_UP_TO)
    assert set(differences) <= set(table(list(differences)).means)


@pytest.mark.parametrize("n", [1, 5, 12, 16])
def test_every_subset_is_there_up_to_sixteen(n: int):
    counts = np.bincount(subset_sizes(n).astype(int), minlength=n + 1)
    assert counts.tolist() == [0] + [comb(n, k) for k in range(1, n + 1)]


@pytest.mark.parametrize("n", [17, 20, 64])
def test_subsets_beyond_sixteen_are_a_group_that_contains_the_flip_of_all(n: int):
    label = [int(x) for x in labels(n)]
    rng = np.random.default_rng(n)

    def members(number: int) -> tuple[bool, ...]:
        return tuple((number & x).bit_count() % 2 == 1 for x in label)

    assert label[:16] == [1 << bit for bit in range(16)]  # so no two numbers choose the same subset
    assert len(set(label)) == n  # and no two differences always flip together
    assert all(members(2**16 - 1))
    differences = rng.normal(size=n)
    numbers = [int(x) for x in rng.integers(1, 2**16, size=200)]
    for one, other in zip(numbers[:100], numbers[100:], strict=True):
        both = tuple(a != b for a, b in zip(members(one), members(other), strict=True))
        assert both == members(one ^ other)
    means = table(list(differences)).means
    for number in numbers:
        mean = differences[list(members(number))].mean()
        at = np.searchsorted(means, mean)
        assert np.abs(means[max(at - 1, 0) : at + 1] - mean).min() < 1e-14


def test_flipping_within_the_group_permutes_the_means_so_the_test_is_exact():
    rng = np.random.default_rng(3)
    differences = rng.normal(size=24)
    signs = 1 - 2 * odd_overlap(np.arange(2**16), labels(24))
    # Over the whole orbit the p-values are a permutation of ranks: P(p <= alpha) <= alpha.
    sums = np.sort(signs @ differences)
    for number in rng.integers(0, 2**16, size=20):
        flipped = differences * signs[number]
        np.testing.assert_allclose(np.sort(signs @ flipped), sums, atol=1e-12)
        at_least = np.count_nonzero(sums >= abs(flipped.sum()) - 1e-12)
        assert table(list(flipped)).p == min(1.0, 2 * at_least / 2**16)


def test_thousands_of_differences_fit():
    differences = np.random.default_rng(5).normal(0.1, size=3000)
    test = table(list(differences))
    low, high = test.interval(0.05)
    half = 1.96 * differences.std(ddof=1) / np.sqrt(3000)  # the normal interval, good at this size
    assert low == pytest.approx(differences.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(differences.mean() + half, abs=0.1 * half)
