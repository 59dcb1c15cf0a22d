"""Numbers over time against numpy on the whole list."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from normwise.evidence.series import SeriesMeter

NUMBERS = st.floats(width=32) | st.just(float("nan"))


@given(st.lists(NUMBERS, min_size=1, max_size=100))
def test_summary_is_that_of_the_whole_list(numbers: list[float]):
    meter = SeriesMeter()
    for step, number in enumerate(numbers):
        meter.add(step, torch.tensor(number))
    series = meter.column()
    finite = [n for n in numbers if np.isfinite(n)]
    broken = [step for step, n in enumerate(numbers) if not np.isfinite(n)]
    assert series.count == len(numbers)
    assert series.nonfinite == len(broken)
    assert series.nonfinite_step == (broken[0] if broken else None)
    assert series.values.tolist() == finite
    if finite:
        assert (series.first, series.last) == (finite[0], finite[-1])
        assert (series.low, series.high) == (min(finite), max(finite))
        assert series.mean == pytest.approx(np.mean(finite))
    else:
        assert np.isnan([series.first, series.last, series.low, series.high, series.mean]).all()


def test_memory_is_constant_and_points_are_evenly_spread():
    meter = SeriesMeter()
    for step in range(5000):
        meter.add(step, torch.tensor(float(step)))
    series = meter.column()
    assert 128 <= len(series.steps) <= 288
    assert len(set(np.diff(series.steps))) == 1
    assert series.steps.tolist() == series.values.tolist()
    assert (series.first, series.last, series.count) == (0, 4999, 5000)


def test_columns_that_come_at_some_steps_only():
    meter = SeriesMeter(3)
    for step in range(70):
        meter.add(step, torch.tensor([1.0, step]), [0, 2] if step % 2 else [2, 0])
    first, never, last = (meter.column(i) for i in range(3))
    assert never.count == never.nonfinite == 0
    assert first.count == last.count == 70
    assert first.values.tolist() == [1.0 if step % 2 else step for step in range(70)]
    assert last.mean == pytest.approx(np.mean([step if step % 2 else 1 for step in range(70)]))


def test_numbers_are_not_read_before_there_are_many():
    meter = SeriesMeter()
    values = torch.zeros(31)
    for step in range(31):
        meter.add(step, values[step])
    values += 5  # what is pending is still what the device holds
    assert meter.column().mean == 5
