"""Runs end early where they should, with the weights that they should."""

import pytest
import torch
from torch import nn

from normwise.data import Noise
from normwise.stack import (
    Alone,
    Budget,
    Keeping,
    Objective,
    Recipe,
    Schedule,
    State,
    Stopping,
    train,
)
from normwise.stack.objective import Scores
from normwise.stack.stopping import Watch

BUDGET = Budget(steps=60, batch_size=16, evaluate_every=3)


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


@pytest.mark.parametrize(
    ("losses", "patience", "best", "last"),
    [
        ([3.0, 2.0, 1.0, 2.0, 3.0, 4.0], 2, 2, 4),
        ([3.0, 2.0, 2.5, 1.5, 2.0, 1.8], 2, 3, 5),
        ([1.0, 1.0, 1.0], 1, 0, 1),
        ([1.0, float("nan"), 0.5, 0.6], 2, 2, None),
        ([5.0, 4.0, 3.0, 2.0], 1, 3, None),
    ],
)
def test_a_known_curve_ends_where_its_minimum_is_patience_evaluations_old(
    losses, patience, best, last
):
    watch = Watch(Stopping(patience=patience))
    ends = [watch.ends(step, Scores(loss, 0.0)) for step, loss in enumerate(losses)]
    assert (ends.index(True) if True in ends else None) == last
    if last is None:
        assert watch.step == best
    else:
        assert losses[best] == min(losses[: last + 1])


def test_the_best_weights_come_back_and_are_those_that_are_tested(tools):
    data, objective = tools.make_data(), Objective("classes")
    network = tools.built(net, 0)
    seen = {}

    def observe(row, run, get):
        seen[row.step] = tools.state_of(get())

    [outcome] = train(
        *(Alone(network, Recipe("adam", lr=0.1), objective), [0], data, BUDGET, observe),
        stopping=[Stopping(patience=3, restore=True)],
    )
    losses = {row.step: row.val_loss for row in outcome.evaluations}
    best = min(losses, key=lambda step: losses[step])
    steps = list(losses)
    assert outcome.steps == steps[steps.index(best) + 3] < BUDGET.steps
    assert tools.distance(tools.state_of(network), seen[best]) == 0
    assert tools.distance(tools.state_of(network), seen[outcome.steps]) > 0
    network.eval()
    hits = (network(data.test.x).argmax(1) == data.test.y).double().mean().item()
    assert outcome.test_metric == pytest.approx(hits)


def test_without_restoring_the_last_weights_stay(tools):
    network = tools.built(net, 0)
    plain = tools.built(net, 0)
    stack = Alone(network, Recipe(lr=0.1), Objective("classes"))
    [outcome] = train(stack, [0], tools.make_data(), BUDGET, stopping=[Stopping(target=0.1)])
    assert outcome.steps == 3
    assert outcome.evaluations[-1].val_metric >= 0.1
    train(
        *(Alone(plain, Recipe(lr=0.1), Objective("classes")), [0], tools.make_data()),
        Budget(3, 16, 3),
    )
    assert tools.distance(tools.state_of(network), tools.state_of(plain)) == 0


def test_runs_that_end_early_leave_the_others_as_they_are(tools):
    """Each of eight runs has another patience; in the stack they end as they would alone."""
    recipes = [
        Recipe("adam", lr=lr, stopping=Stopping(patience=patience, restore=True))
        for lr, patience in zip([0.3, 0.1, 0.05, 0.02] * 2, [1, 2, 3, 1, 4, 1, 2, 30], strict=True)
    ]
    data, objective, seeds = tools.make_data(), Objective("classes"), range(8)
    stopping = [recipe.stopping for recipe in recipes]
    stack = tools.stack_of([tools.built(net, s) for s in seeds], recipes, data, objective, 16)
    together = train(stack, list(seeds), data, BUDGET, stopping=stopping)
    assert len({outcome.steps for outcome in together}) >= 3
    for seed in seeds:
        one = Alone(tools.built(net, seed), recipes[seed], objective)
        [alone] = train(one, [seed], data, BUDGET, stopping=[stopping[seed]])
        assert alone.steps == together[seed].steps
        assert tools.apart(together[seed], alone) <= 1e-9


@pytest.mark.parametrize("at", [1, 7, 30, 59])
def test_a_training_goes_on_bit_for_bit_from_any_step(at, tools):
    recipe = Recipe(
        *("adam", 0.05),
        schedule=Schedule("plateau", 60, factor=0.5, patience=1, warmup=2),
        augment=(Noise(0.1),),
        accumulate=2,
    )
    data = tools.make_data(dtype=torch.float32)

    def run(state: State | None, stops: int | None):
        torch.manual_seed(5)
        network = nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.3), nn.ReLU(), nn.Linear(8, 3))
        saved = []
        keeping = Keeping(lambda _: False, saved.append, state, lambda step: step == stops)
        stack = Alone(network, recipe, Objective("classes"))
        [outcome] = train(
            *(stack, [3], data, BUDGET), stopping=[Stopping(restore=True)], keeping=keeping
        )
        return tools.state_of(network), outcome, saved

    whole, expected, _ = run(None, None)
    _, _, [state] = run(None, at)
    assert state.step == at
    resumed, outcome, _ = run(state, None)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert repr(outcome.evaluations) == repr(expected.evaluations)
    assert outcome.test_loss == expected.test_loss
