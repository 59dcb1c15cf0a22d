import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from normwise.data import load
from normwise.data.standardize import CHUNK, Scale


def by_hand(values: list[float]) -> tuple[float, float]:
    mean = math.fsum(values) / len(values)
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))


@given(
    shape=st.sampled_from([(7, 3), (5, 2, 4), (4, 3, 2, 2), (3, 1, 2, 2, 2)]),
    seed=st.integers(0, 1000),
    centre=st.sampled_from([0.0, -3.0, 1e4]),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_mean_and_std_per_feature_or_channel(shape, seed, centre, dtype):
    x = np.random.default_rng(seed).normal(centre, 1, shape).astype(dtype)
    scale = Scale.of(x)
    assert scale.mean.dtype == scale.std.dtype == np.float64
    assert scale.mean.shape == scale.std.shape == (shape[1],) + (1,) * (len(shape) - 2)
    for channel in range(shape[1]):
        mean, std = by_hand(x[:, channel].astype(np.float64).ravel().tolist())
        assert scale.mean.ravel()[channel] == pytest.approx(mean, rel=1e-12, abs=1e-12)
        assert scale.std.ravel()[channel] == pytest.approx(std, rel=1e-10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_mean_far_from_zero_costs_no_digits(dtype):
    x = np.random.default_rng(0).normal(1e4, 1, (3 * CHUNK + 5, 2)).astype(dtype)
    out = Scale.of(x).apply(x)
    assert out.dtype == dtype
    assert np.abs(out.mean(0, dtype=np.float64)).max() < 1e-6
    assert np.abs(out.std(0, dtype=np.float64) - 1).max() < 1e-6


def test_chunks_are_those_of_the_whole():
    x = np.random.default_rng(1).normal(size=(2 * CHUNK + 1, 3, 2)).astype(np.float32)
    scale = Scale.of(x)
    whole = (x.astype(np.float64) - scale.mean) / scale.std
    assert np.array_equal(scale.apply(x), whole.astype(np.float32))


@pytest.mark.parametrize("value", [0.1, 1e4 + 0.1, -7.3])
def test_a_constant_becomes_exactly_zero(value):
    # The mean of ten times 0.1 is not 0.1: dividing by the rounding would give +-1.
    x = np.column_stack([np.full(10, value), np.arange(10.0)])
    scale = Scale.of(x)
    assert scale.std[0] == 1
    assert (scale.apply(x)[:, 0] == 0).all()
    assert scale.apply(np.array([[value + 2, 0.0]]))[0, 0] == pytest.approx(2)


def test_samples_are_standardised_where_they_are():
    x = np.arange(6.0).reshape(3, 2)
    scaled = Scale.of(x).apply(x)
    assert scaled is x
    assert x.tolist() == [[-np.sqrt(1.5)] * 2, [0.0] * 2, [np.sqrt(1.5)] * 2]


def test_arrays_of_the_user_are_left_alone():
    draw = np.random.default_rng(0)
    train, test = (draw.normal(3, 2, (count, 2)).astype(np.float32) for count in (40, 10))
    before = train.copy(), test.copy()
    load((train, [0, 1] * 20, test, [0, 1] * 5))
    load((torch.from_numpy(train), [0, 1] * 20))
    assert np.array_equal(train, before[0])
    assert np.array_equal(test, before[1])
