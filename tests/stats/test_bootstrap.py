"""BCa against the ideal bootstrap (every resample enumerated), scipy and simulated coverage."""

from itertools import product
from math import isnan
from statistics import NormalDist, fmean, median

import numpy as np
import pytest
from scipy.stats import bootstrap

from normwise.errors import UsageError
from normwise.stats import bca, bca_ratio

NORMAL = NormalDist()


def slow_bca(rows, statistic, level):
    """Efron and Tibshirani (1993), section 14.3, over all n^n resamples instead of a sample."""
    n = len(rows)
    estimate = statistic(rows)
    ideal = sorted(statistic(resample) for resample in product(rows, repeat=n))
    below = sum(value < estimate for value in ideal) + sum(value == estimate for value in ideal) / 2
    z0 = NORMAL.inv_cdf(below / len(ideal))
    without = [statistic(rows[:i] + rows[i + 1 :]) for i in range(n)]
    pull = [fmean(without) - value for value in without]
    spread = sum(u**2 for u in pull)
    a = sum(u**3 for u in pull) / (6 * spread**1.5) if spread else 0.0

    def end(share):
        z = z0 + NORMAL.inv_cdf(share)
        return ideal[int(NORMAL.cdf(z0 + z / (1 - a * z)) * len(ideal))]

    return estimate, end((1 - level) / 2), end((1 + level) / 2)


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_mean_agrees_with_all_resamples_enumerated(level: float):
    sample = [0.1, 0.35, 0.5, 1.1, 4.0, 0.8]
    ours = bca(sample, level=level)
    estimate, low, high = slow_bca(sample, fmean, level)
    assert ours.estimate == pytest.approx(estimate)
    assert ours.low == pytest.approx(low, abs=0.03)  # 9999 resamples of a spread of 0.5
    assert ours.high == pytest.approx(high, abs=0.08)


def test_ratio_of_medians_agrees_with_all_resamples_enumerated():
    treatment, baseline = [2.0, 3.1, 1.2, 4.4, 2.7, 3.6], [5.0, 8.3, 4.1, 9.9, 5.5, 7.2]

    def ratio(pairs):
        return median(t for t, _ in pairs) / median(b for _, b in pairs)

    ours = bca_ratio(treatment, baseline, level=0.9)
    expected = slow_bca(list(zip(treatment, baseline, strict=True)), ratio, 0.9)
    assert (ours.estimate, ours.low, ours.high) == pytest.approx(expected, abs=0.012)


def test_resampling_whole_seeds_cancels_what_a_seed_does_to_both():
    baseline = np.array([100.0, 900.0, 250.0, 400.0, 1600.0, 700.0])
    ours = bca_ratio(baseline / 2, baseline)
    assert (ours.estimate, ours.low, ours.high) == (0.5, 0.5, 0.5)


def test_mean_agrees_with_scipy():
    sample = np.random.default_rng(0).lognormal(size=15)
    theirs = bootstrap(
        (sample,), np.mean, method="BCa", n_resamples=40_000, random_state=np.random.default_rng(1)
    )
    ours = bca(sample)
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.03)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.08)


def test_ties_do_not_hang_on_the_order_of_summation():
    hundredths = [94, 92, 93, 93, 94, 92, 95, 93]
    whole, decimal = bca(hundredths), bca([x / 100 for x in hundredths])
    assert decimal.low == pytest.approx(whole.low / 100, rel=1e-9)
    assert decimal.high == pytest.approx(whole.high / 100, rel=1e-9)


def test_statistic_is_the_one_asked_for():
    sample = [1.0, 2.0, 3.0, 4.0, 100.0]
    assert bca(sample, np.median).estimate == 3.0
    assert bca(sample).estimate == 22.0


def test_degenerate_samples():
    one = bca([0.9])
    assert one.estimate == 0.9
    assert isnan(one.low)
    assert isnan(one.high)
    constant = bca([0.1] * 9)
    assert constant.low == constant.estimate == constant.high
    # No single run moves this median, so that its acceleration is 0/0 in the formula.
    tied = bca([1.0, 5.0, 5.0, 5.0, 9.0], np.median)
    assert (tied.low, tied.estimate, tied.high) == (1.0, 5.0, 9.0)


def test_same_sample_same_interval_and_units_carry_over():
    sample = np.random.default_rng(2).normal(size=8)
    ours, scaled = bca(sample), bca(1000 * sample + 5)
    assert ours == bca(sample)
    assert scaled.low == pytest.approx(1000 * ours.low + 5)
    assert scaled.high == pytest.approx(1000 * ours.high + 5)


def test_coverage_of_a_mean_is_near_its_level():
    rng, repetitions = np.random.default_rng(3), 300
    covered = sum(
        found.low <= 0 <= found.high
        for found in (bca(rng.normal(size=20)) for _ in range(repetitions))
    )
    assert 0.90 <= covered / repetitions <= 0.98


def test_mistakes_come_at_once():
    with pytest.raises(UsageError) as caught:
        bca([], level=95)
    assert len(caught.value.problems) == 2
    with pytest.raises(UsageError) as caught:
        bca_ratio([1.0, 2.0, 3.0], [0.0, 1.0], level=0)
    assert len(caught.value.problems) == 3
    assert "baseline has the value 0.0" in caught.value.problems[2]
