"""How often a step is measured, on a clock of the test's own."""

import pytest

from normwise.evidence import Schedule


class Clocked:
    """A training whose steps take what the test says."""

    def __init__(self, budget: float = 0.03) -> None:
        self.now = 0.0
        self.schedule = Schedule(budget, clock=lambda: self.now)
        self.measured = self.slept = 0
        self.spent = self.trained = 0.0

    def step(self, step: float, cost: float, fixed: float = 0.0, between: float = 0.0) -> bool:
        """Take a step; `fixed` is what it costs more even if it is not measured."""
        self.now += between
        self.schedule.begins()
        due = self.schedule.due(self.measured)
        own = fixed + 0.7 * cost * due  # the rest of it slows the program elsewhere
        self.now += step + fixed + cost * due
        self.schedule.stepped(measured=due, own=own)
        self.measured += due
        self.spent += fixed + cost * due
        self.trained += step
        return due

    def sleep(self, step: float, fixed: float) -> bool:
        self.now += step + fixed
        self.slept += 1
        self.spent += fixed
        self.trained += step
        return self.schedule.slept(fixed)


def simulated(cost: float, step: float, steps: int, fixed: float = 0.0) -> tuple[int, float]:
    """Return how many steps were measured, and the share of the time that this took."""
    training = Clocked()
    for _ in range(steps):
        training.step(step, cost, fixed)
    return training.measured, training.spent / training.trained


@pytest.mark.parametrize(("cost", "step"), [(1e-3, 1e-3), (5e-4, 2e-3), (0.02, 0.01), (1e-5, 1e-3)])
def test_budget_is_kept_and_used(cost: float, step: float):
    measured, share = simulated(cost, step, 20_000)
    allowance = 0.1 / (20_000 * step)
    assert share <= 0.03 + allowance + 0.003
    assert measured > 19_000 or share >= 0.8 * 0.03


@pytest.mark.parametrize("fixed", [2e-5, 1e-4, 2e-4])
def test_what_all_steps_cost_counts_too(fixed: float):
    measured, share = simulated(1e-3, 8e-3, 20_000, fixed)
    assert 0.9 * 0.03 < share <= 0.03 * 1.04 + 0.1 / 160
    assert abs(measured - 20_000 * (0.03 * 8e-3 - fixed) / 1e-3) < 0.15 * measured + 100


def test_steps_too_short_for_hooks_are_slept_through():
    training = Clocked()
    awake = asleep = 0
    sleeping = False
    for _ in range(100_000):
        if sleeping:
            sleeping = not training.sleep(5e-4, 3e-6)
            asleep += 1
        else:
            training.step(5e-4, 3e-4, 8e-5)
            sleeping = training.schedule.overdrawn
            awake += 1
    assert training.spent / training.trained <= 0.03 + 0.1 / training.trained + 0.001
    assert awake > 2000
    assert asleep > 10_000


def test_costly_steps_that_are_rarely_measured_are_no_reason_to_sleep():
    training = Clocked()
    for _ in range(200):
        training.step(1.0, 0.5, 1e-3)
        assert not training.schedule.overdrawn
    assert 5 <= training.measured <= 20


def test_what_comes_between_steps_is_no_cost_of_measuring():
    training, undisturbed = Clocked(), Clocked()
    for step in range(3000):
        training.step(0.01, 0.005, between=60.0 * (step % 10 == 9))
        undisturbed.step(0.01, 0.005)
    assert training.measured == undisturbed.measured


def test_no_rush_after_a_pause():
    training = Clocked()
    for _ in range(2000):
        training.step(0.01, 0.005)
    training.now += 3600.0
    assert sum(training.step(0.01, 0.005) for _ in range(100)) <= 0.1 / 0.005 + 10


def test_passes_without_steps_are_paid_for():
    training = Clocked()
    measured = 0
    for _ in range(10_000):
        training.schedule.begins()
        due = training.schedule.due(0)
        training.now += 0.001 + 0.001 * due
        if due:
            training.schedule.passed(0.001)
        measured += due
    assert 0.8 * 0.03 * 10 <= 0.001 * measured <= 0.03 * 11 + 0.1


def test_short_trainings_are_seen_well():
    measured, _ = simulated(1e-3, 1e-3, 200)
    assert measured >= 80


def test_the_first_step_is_measured_and_then_others_tell_what_a_step_takes():
    training = Clocked()
    assert [training.step(1.0, 0.0) for _ in range(4)] == [True, False, True, False]


def test_every_step_whatever_it_costs():
    schedule = Schedule(every=1)
    assert all(schedule.due(step) for step in range(5))
    schedule.stepped(measured=True, own=10.0)
    assert not schedule.overdrawn
