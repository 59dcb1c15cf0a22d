"""Streaming moments against the whole tensor in float64."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from normwise.evidence.units import Units, UnitsMeter, moments


def measured(batches: list[torch.Tensor], axis: int, activation: str | None = None) -> Units:
    meter = UnitsMeter(activation)
    for batch in batches:
        meter.add(batch, axis)
    units = meter.result()
    assert units is not None
    return units


@given(st.lists(st.integers(1, 9), min_size=1, max_size=90), st.sampled_from([1, -1]))
def test_moments_are_those_of_all_batches_together(sizes: list[int], axis: int):
    torch.manual_seed(len(sizes))
    batches = [torch.randn(n, 3, 2) * 5 + 100 for n in sizes]
    units = measured(batches, axis)
    together = torch.cat(batches).double().movedim(axis, 0).flatten(1).numpy()
    assert units.batches == len(sizes)
    assert units.count == together.shape[1]
    np.testing.assert_allclose(units.mean, together.mean(1), rtol=1e-6)
    np.testing.assert_allclose(units.var, together.var(1), rtol=1e-4)
    assert units.total_mean == pytest.approx(together.mean(), rel=1e-6)
    assert units.total_std == pytest.approx(together.std(), rel=1e-4)
    assert units.rms == pytest.approx(np.sqrt((together**2).mean()), rel=1e-6)


def test_a_large_mean_does_not_swallow_the_variance():
    torch.manual_seed(0)
    batches = [torch.randn(1000, 4) + 1e4 for _ in range(40)]
    np.testing.assert_allclose(measured(batches, -1).var, 1, atol=0.02)


def test_half_precision_is_measured_in_single():
    batches = [(torch.randn(512, 2) + 100).half() for _ in range(8)]
    whole = torch.cat(batches).double()
    np.testing.assert_allclose(measured(batches, -1).mean, whole.mean(0).numpy(), rtol=1e-5)


def test_first_and_recent_batches_are_told_apart():
    units = measured([torch.full((4, 2), float(i)) for i in range(100)], -1)
    assert units.first is not None
    assert units.recent is not None
    assert units.first.total_mean == 0
    assert units.recent.total_mean == pytest.approx(np.mean(range(84, 100)))


def test_one_unit_where_samples_are_numbers():
    units = measured([torch.arange(6.0)], -1)
    assert units.mean.tolist() == [2.5]
    assert units.count == 6


def test_dead_units_are_those_that_never_fire():
    x = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    units = measured([x, x * 0, torch.tensor([[0.0, 0.0, 2.0]])], -1, "relu")
    assert units.dead_units.tolist() == [0]
    assert units.dead == pytest.approx(1 / 3)
    assert np.isnan(units.saturated)


def test_saturated_units_are_in_the_flat_ends_nearly_always():
    x = torch.zeros(100, 3)
    x[:, 0] = 0.96
    x[:94, 1] = -0.97
    x[:96, 2] = 0.95  # of the range -1 to 1, five hundredths are 0.1: the flat end begins at 0.9
    units = measured([x], -1, "tanh")
    assert units.flat is not None
    np.testing.assert_allclose(units.flat, [1, 0.94, 0.96], atol=1e-6)
    assert units.saturated == pytest.approx(2 / 3)


def test_ends_of_the_sigmoid_are_at_0_and_1():
    x = torch.tensor([[0.04, 0.06, 0.5, 0.94, 0.96]]).repeat(3, 1)
    flat = measured([x], -1, "sigmoid").flat
    assert flat is not None
    assert flat.tolist() == [1, 0, 0, 0, 1]


def test_constant_units_are_found_up_to_rounding():
    x = torch.randn(50, 3)
    x[:, 1] = 7.3
    assert measured([x, x], -1).constant_units.tolist() == [1]


def test_what_is_not_finite_shows():
    x = torch.ones(4, 2)
    assert measured([x], -1).finite
    x[0, 0] = float("nan")
    assert not measured([x], -1).finite


def test_a_layer_that_changes_its_width_keeps_its_first():
    assert measured([torch.ones(4, 2), torch.ones(4, 3)], -1).batches == 1


def test_moments_of_large_batches_come_from_a_part_spread_over_it():
    torch.manual_seed(0)
    x = torch.randn(512, 8, 32, 32) + torch.arange(512.0)[:, None, None, None] / 100
    count, mean, var = moments(x, 1)
    assert 1024 <= count < 512 * 32 * 32
    assert mean.mean() == pytest.approx(x.mean().item(), abs=0.2)
    assert var.mean() == pytest.approx(x.var().item(), rel=0.1)


def test_range_and_sample():
    torch.manual_seed(0)
    batches = [torch.randn(256, 16) for _ in range(13)]
    units = measured(batches, -1)
    looked_at = torch.cat(batches[::4])
    assert (units.low, units.high) == (looked_at.min().item(), looked_at.max().item())
    assert units.sample is not None
    assert 4 * 512 <= len(units.sample) < 5 * 512
    assert np.std(units.sample) == pytest.approx(1, abs=0.05)


def test_nothing_is_known_of_no_values():
    meter = UnitsMeter()
    meter.add(torch.empty(0, 3), -1)
    assert meter.result() is None
