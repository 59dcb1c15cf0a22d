"""Gradients gathered over several batches."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from normwise.stack import Alone, Budget, Objective, Penalty, Recipe, Schedule, train
from normwise.stack.accumulation import Accumulation
from normwise.stack.products import Product

OBJECTIVE = Objective("classes")
RECIPES = {
    "sgd": Recipe("sgd", lr=0.1),
    "everything": Recipe(
        *("sgd", 0.1, 0.9),
        schedule=Schedule("cosine", 12),
        clip=0.3,
        label_smoothing=0.1,
        l1=Penalty(0.001),
        l2=Penalty(0.01),
        wd=Penalty(0.1),
        entropy=0.2,
    ),
    "adamw": Recipe("adamw", lr=0.02),
}


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.Tanh(), nn.Linear(8, 3))


@pytest.mark.parametrize("batches", [2, 3])
@pytest.mark.parametrize("name", RECIPES)
def test_it_equals_one_batch_of_so_many_times_the_size(name: str, batches: int, tools: Any):
    recipe, data = RECIPES[name], tools.make_data()  # 48 samples: whole batches of any size
    trained = []
    for size, each in ((24 // batches, batches), (24, 1)):
        network = tools.built(net, 1)
        stack = Alone(network, replace(recipe, accumulate=each), OBJECTIVE)
        train(stack, [5], data, Budget(12 * each, size, 12 * each))
        trained.append(tools.state_of(network))
    assert tools.distance(*trained) < 1e-12


def test_the_step_comes_after_so_many_batches(tools: Any):
    network, data = tools.built(net, 1), tools.make_data()
    stack, changes = Alone(network, replace(RECIPES["sgd"], accumulate=3), OBJECTIVE), []
    for x, y in tools.batches(data, Budget(7, 8, 7), 0):
        before = tools.state_of(network)
        stack.step(x[None], y[None])
        changes.append(tools.distance(tools.state_of(network), before) > 0)
    assert changes == [False, False, True, False, False, True, False]


@pytest.mark.parametrize("name", RECIPES)
def test_a_stack_accumulates_as_alone(name: str, tools: Any):
    recipe = replace(RECIPES[name], accumulate=3)
    recipes = [recipe, replace(recipe, lr=0.01), recipe]
    tools.agree(partial(tools.built, net), recipes, tools.make_data())


def test_what_is_gathered_stays_when_runs_leave(tools: Any):
    recipe, data = replace(RECIPES["adamw"], accumulate=4), tools.make_data()
    networks = [tools.built(net, seed) for seed in range(3)]
    stack = tools.stack_of(networks, [recipe] * 3, data, OBJECTIVE, 8)
    alone = [Alone(network, recipe, OBJECTIVE) for network in networks]
    for step, (x, y) in enumerate(tools.batches(data, Budget(10, 8, 10), 0)):
        stack.step(*(t.expand(stack.size, *t.shape) for t in (x, y)))
        for run in alone:
            run.step(x[None], y[None])
        if step == 5:
            stack.keep([0, 2])
            del alone[1]
    for place, run in enumerate(alone):
        ours, theirs = (tools.state_of(n) for n in (stack.network(place), run.network(0)))
        assert tools.distance(ours, theirs) < 1e-12


def test_a_stack_has_one_kind_of_recipe(tools: Any):
    recipes = [RECIPES["sgd"], replace(RECIPES["sgd"], accumulate=2)]
    with pytest.raises(ValueError, match="one kind of recipe"):
        tools.stack_of(
            [tools.built(net, seed) for seed in (0, 1)], recipes, tools.make_data(), OBJECTIVE, 8
        )


@settings(deadline=None)
@given(
    batches=st.integers(1, 4),
    present=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=9),
)
def test_means_of_gradients_whatever_is_missing(batches: int, present: list[tuple[bool, bool]]):
    draw, gathered = torch.Generator().manual_seed(0), Accumulation(batches)
    seen: list[list[Tensor | None]] = []
    for there, product in present:
        left, right = (torch.randn(2, 3, 3, generator=draw).double() for _ in range(2))
        gradient = None if not there else Product(left, right) if product else left
        seen.append([None if gradient is None else left @ right if product else left])
        means = gathered.add([gradient])
        if len(seen) < batches:
            assert means is None
            continue
        assert means is not None
        given_ = [values[0] for values in seen if values[0] is not None]
        mean = means[0].value() if isinstance(means[0], Product) else means[0]
        if not given_:
            assert mean is None
        else:
            torch.testing.assert_close(mean, torch.stack(given_).sum(0) / batches)
        seen.clear()
