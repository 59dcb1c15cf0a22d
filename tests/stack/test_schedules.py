"""Learning rates that move: torch's own schedulers in a loop written by hand are the oracle."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import lr_scheduler as torchs

from normwise.errors import UsageError
from normwise.stack import (
    Alone,
    Budget,
    Objective,
    Order,
    Recipe,
    Schedule,
    Stacked,
    derive,
    seeded,
    train,
)

STEPS = 100
OBJECTIVE = Objective("classes")
BUDGET = Budget(STEPS, 16, 5)


def perceptron() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))


def warm(optimizer: torch.optim.Optimizer, main: Callable[..., Any], steps: int) -> Any:
    """A warm-up as torch's documentation writes it."""
    rise = torchs.LinearLR(optimizer, start_factor=0.01, total_iters=steps)
    return torchs.SequentialLR(optimizer, [rise, main(optimizer)], milestones=[steps])


SCHEDULES: dict[str, tuple[Schedule, Callable[..., Any]]] = {
    "step": (
        Schedule("step", STEPS, every=30, factor=0.5),
        lambda o: torchs.StepLR(o, step_size=30, gamma=0.5),
    ),
    "cosine": (Schedule("cosine", STEPS), lambda o: torchs.CosineAnnealingLR(o, T_max=STEPS)),
    "cyclic": (
        Schedule("cyclic", STEPS, every=20),
        lambda o: torchs.CyclicLR(
            o, o.param_groups[0]["lr"] / 10, o.param_groups[0]["lr"], 20, cycle_momentum=False
        ),
    ),
    "warm cosine": (
        Schedule("cosine", STEPS, warmup=10),
        lambda o: warm(o, lambda o: torchs.CosineAnnealingLR(o, T_max=STEPS - 10), 10),
    ),
    "warm step": (
        Schedule("step", STEPS, every=25, warmup=10),
        lambda o: warm(o, lambda o: torchs.StepLR(o, step_size=25), 10),
    ),
    "warm": (
        Schedule(warmup=10),
        lambda o: torchs.LinearLR(o, start_factor=0.01, total_iters=10),
    ),
}
OPTIMIZERS = {
    "sgd": (Recipe("sgd", 0.1), torch.optim.SGD, {"lr": 0.1}),
    "momentum": (Recipe("sgd", 0.1, 0.9), torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    "adam": (Recipe("adam", 0.02), torch.optim.Adam, {"lr": 0.02}),
}


def with_schedule(recipe: Recipe, schedule: Schedule) -> Recipe:
    options = recipe.options() | {"schedule": schedule}
    return Recipe(recipe.optimizer, **options)


def by_hand(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    scheduler: Any,
    data: Any,
    *,
    clip: float | None = None,
    label_smoothing: float = 0.0,
    plateau: bool = False,
) -> nn.Module:
    """A loop as torch's tutorials write it; a plateau is told the loss every fifth step."""
    order, step = Order(len(data.train), 16, 5), 0
    with seeded(derive(5, "dropout")):
        while step < STEPS:
            for batch in order.next_epoch():
                output = network(data.train.x[batch])
                loss = F.cross_entropy(output, data.train.y[batch], label_smoothing=label_smoothing)
                optimizer.zero_grad()
                loss.backward()
                if clip is not None:
                    torch.nn.utils.clip_grad_norm_(network.parameters(), clip)
                optimizer.step()
                step += 1
                if not plateau:
                    scheduler.step()
                elif step % 5 == 0:
                    with torch.no_grad():
                        scheduler.step(F.cross_entropy(network(data.val.x), data.val.y))
                if step == STEPS:
                    break
    return network


def same(tools: Any, recipe: Recipe, optimizer: Any, scheduler: Any, **options: Any) -> None:
    data = tools.make_data()
    ours, theirs = tools.built(perceptron, 5), tools.built(perceptron, 5)
    train(Alone(ours, recipe, OBJECTIVE), [5], data, BUDGET)
    optimizer = optimizer(theirs.parameters())
    by_hand(theirs, optimizer, scheduler(optimizer), data, **options)
    assert tools.distance(tools.state_of(ours), tools.state_of(theirs)) <= 1e-10


@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("name", SCHEDULES)
def test_the_trajectory_is_torchs(name: str, kind: str, tools: Any):
    (schedule, scheduler), (recipe, optimizer, options) = SCHEDULES[name], OPTIMIZERS[kind]
    same(tools, with_schedule(recipe, schedule), partial(optimizer, **options), scheduler)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_one_cycle_is_torchs_and_moves_momentum_where_there_is_some(kind: str, tools: Any):
    recipe, optimizer, options = OPTIMIZERS[kind]
    same(
        tools,
        with_schedule(recipe, Schedule("onecycle", STEPS)),
        partial(optimizer, **options),
        lambda o: torchs.OneCycleLR(
            o, options["lr"], total_steps=STEPS, cycle_momentum=kind != "sgd"
        ),
    )


def test_a_plateau_is_torchs(tools: Any):
    same(
        tools,
        Recipe("sgd", 0.5, schedule=Schedule("plateau", STEPS, factor=0.5, patience=1)),
        partial(torch.optim.SGD, lr=0.5),
        lambda o: torchs.ReduceLROnPlateau(o, factor=0.5, patience=1),
        plateau=True,
    )


def test_clipping_and_smoothing_are_torchs(tools: Any):
    same(
        tools,
        Recipe("sgd", 0.5, clip=0.2, label_smoothing=0.1),
        partial(torch.optim.SGD, lr=0.5),
        lambda o: torchs.LambdaLR(o, lambda step: 1.0),
        clip=0.2,
        label_smoothing=0.1,
    )


def test_evaluations_during_the_warm_up_say_nothing(tools: Any):
    """Losses rise there, since the network learns slowly, and that is no plateau."""
    recipe = Recipe("sgd", 0.5, schedule=Schedule("plateau", STEPS, patience=0, warmup=10))
    dial = recipe.dial()
    assert dial is not None
    group: dict[str, Any] = {}
    for loss in range(10):
        dial.step()
        dial.evaluated(loss)
    dial.set(group)
    assert group["lr"] == pytest.approx(0.5)
    for loss in range(20, 23):
        dial.step()
        dial.evaluated(loss)
    dial.set(group)
    assert group["lr"] == pytest.approx(0.005)


VARIOUS = [
    Recipe("sgd", 0.1, 0.9),
    Recipe("sgd", 0.1, 0.9, schedule=Schedule("cosine", 50)),
    Recipe("sgd", 0.1, 0.9, schedule=Schedule("cosine", 50)),
    Recipe("sgd", 0.1, 0.9, schedule=Schedule("onecycle", 50)),
    Recipe("sgd", 0.5, schedule=Schedule("plateau", 50, patience=0)),
    Recipe("sgd", 0.5, schedule=Schedule("plateau", 50, patience=0)),
    Recipe("sgd", 0.5, schedule=Schedule("step", 50, every=10, warmup=5), clip=0.3),
    Recipe("sgd", 0.5, clip=0.1, label_smoothing=0.2),
]


def with_norm() -> nn.Module:
    return nn.Sequential(
        nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3)
    )


def test_runs_of_a_stack_have_schedules_clips_and_smoothing_of_their_own(tools: Any):
    budget = Budget(50, 16, 5)
    tools.agree(partial(tools.built, with_norm), VARIOUS, tools.make_data(), budget=budget)


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_adam_in_a_stack(optimizer: str, tools: Any):
    recipes = [
        Recipe(optimizer, 0.02, schedule=Schedule("onecycle", 50)),
        Recipe(optimizer, 0.02, schedule=Schedule("plateau", 50, patience=0), clip=0.1),
        Recipe(optimizer, 0.02, label_smoothing=0.3),
    ]
    tools.agree(partial(tools.built, with_norm), recipes, tools.make_data())


def test_a_run_that_leaves_disturbs_nobodys_schedule(tools: Any):
    """The last runs go on as if they had been alone, also where the first ones leave midway."""
    data, networks = tools.make_data(), [tools.built(perceptron, seed) for seed in range(8)]
    example = type(data.train)(data.train.x[:16], data.train.y[:16])
    stack = Stacked(networks, VARIOUS, OBJECTIVE, range(8), example)
    stayed = [1, 3, 5, 6, 7]
    alone = {run: Alone(tools.built(perceptron, run), VARIOUS[run], OBJECTIVE) for run in stayed}
    places = list(range(8))
    for step in range(30):
        if step == 12:
            stack.keep(stayed)
            places = stayed
        x, y = data.train.x[:16], data.train.y[:16]
        stack.step(x.expand(len(places), *x.shape), y.expand(len(places), *y.shape))
        losses = [float((run + 1) * (step // 10)) for run in places]
        stack.evaluated(losses)
        for run, each in alone.items():
            each.step(x[None], y[None])
            each.evaluated([float((run + 1) * (step // 10))])
    for place, run in enumerate(stayed):
        ours, theirs = stack.network(place), alone[run].network(0)
        assert tools.distance(tools.state_of(ours), tools.state_of(theirs)) <= 1e-10


def test_smoothing_is_refused_where_the_loss_is_another():
    with pytest.raises(UsageError, match=r"label_smoothing=0\.1 is for the cross-entropy"):
        Objective("regression").loss(torch.zeros(4), torch.zeros(4), 0.1)
