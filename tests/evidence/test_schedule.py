"""How often a step is measured, on a clock of the test's own."""

import pytest

from normwise.evidence import Schedule


def simulated(cost: float, step: float, steps: int, budget: float = 0.03) -> tuple[int, float]:
    """Return how many steps were measured, and the share of the time that this took."""
    now = [0.0]
    schedule = Schedule(budget, clock=lambda: now[0])
    measured = 0
    for index in range(steps):
        due = schedule.due(index)
        now[0] += step + cost * due
        schedule.stepped(measured=due)
        measured += due
    return measured, measured * cost / (steps * step)


@pytest.mark.parametrize(("cost", "step"), [(1e-3, 1e-3), (5e-4, 2e-3), (0.02, 0.01), (1e-5, 1e-3)])
def test_budget_is_kept_and_used(cost: float, step: float):
    measured, share = simulated(cost, step, 20_000)
    allowance = 0.1 / (20_000 * step)
    assert share <= 0.03 + allowance + 0.003
    assert measured > 19_000 or share >= 0.8 * 0.03


def test_short_trainings_are_seen_well():
    measured, _ = simulated(1e-3, 1e-3, 200)
    assert measured >= 80


def test_the_first_step_is_measured_and_then_others_tell_what_a_step_takes():
    now = [0.0]
    schedule = Schedule(clock=lambda: now[0])
    due = []
    for step in range(4):
        due.append(schedule.due(step))
        now[0] += 1.0
        schedule.stepped(measured=due[-1])
    assert due == [True, False, True, False]


def test_every_step_whatever_it_costs():
    schedule = Schedule(every=1)
    assert all(schedule.due(step) for step in range(5))
