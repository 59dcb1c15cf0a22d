"""The one training loop, against one written by hand, bit for bit."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from normwise.data import Data
from normwise.stack import Alone, Budget, Evaluation, Objective, Order, Recipe, derive, train


def by_hand(
    network: nn.Module, optimizer: torch.optim.Optimizer, loss: Any, data: Data, budget: Budget
) -> dict[str, list[float]]:
    """Train with seed 5 as a user would; return the training losses and the final ones."""
    order = Order(len(data.train), budget.batch_size, 5, budget.order, data.train.y)
    torch.manual_seed(derive(5, "dropout"))
    losses: list[float] = []
    network.train()
    while len(losses) < budget.steps:
        for batch in order.next_epoch()[: budget.steps - len(losses)]:
            value = loss(network(data.train.x[batch]), data.train.y[batch])
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            losses.append(value.item())
    network.eval()
    with torch.no_grad():
        final = [loss(network(split.x), split.y).item() for split in (data.val, data.test)]
    return {"train": losses, "final": final}


OPTIMIZERS = {
    "sgd": (Recipe("sgd", lr=0.1), torch.optim.SGD, {"lr": 0.1}),
    "momentum": (
        Recipe("sgd", lr=0.1, momentum=0.9, weight_decay=0.01),
        torch.optim.SGD,
        {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01},
    ),
    "nesterov": (
        Recipe("sgd", lr=0.1, momentum=0.9, nesterov=True),
        torch.optim.SGD,
        {"lr": 0.1, "momentum": 0.9, "nesterov": True},
    ),
    "adam": (
        Recipe("adam", lr=0.01, weight_decay=0.1, momentum=0.9),  # momentum is of SGD only
        torch.optim.Adam,
        {"lr": 0.01, "weight_decay": 0.1},
    ),
    "adamw": (Recipe("adamw", lr=0.01), torch.optim.AdamW, {"lr": 0.01}),
    "adamw-decay": (
        Recipe("adamw", lr=0.01, weight_decay=0.3),
        torch.optim.AdamW,
        {"lr": 0.01, "weight_decay": 0.3},
    ),
}


def perceptron(outputs: int = 3) -> nn.Module:
    return nn.Sequential(
        nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, outputs)
    )


def compare(
    tools: Any,
    factory: Any,
    data: Data,
    objective: Objective,
    loss: Any,
    name: str = "momentum",
    order: str = "shuffled",
) -> None:
    recipe, kind, options = OPTIMIZERS[name]
    budget = Budget(steps=25, batch_size=16, evaluate_every=1, order=order)
    ours, theirs = tools.built(factory, 5), tools.built(factory, 5)
    [outcome] = train(Alone(ours, recipe, objective), [5], data, budget)
    # The fused kernels differ from torch's default ones in the last digit.
    expected = by_hand(theirs, kind(theirs.parameters(), fused=True, **options), loss, data, budget)
    assert [e.train_loss for e in outcome.evaluations[1:]] == expected["train"]
    assert [outcome.evaluations[-1].val_loss, outcome.test_loss] == expected["final"]
    assert tools.distance(tools.state_of(ours), tools.state_of(theirs)) == 0
    assert (outcome.status, outcome.steps) == ("done", 25)
    assert [e.step for e in outcome.evaluations] == list(range(26))
    assert math.isnan(outcome.evaluations[0].train_loss)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_classes_with_every_optimizer(name: str, tools: Any):
    compare(tools, perceptron, tools.make_data(), Objective("classes"), F.cross_entropy, name)


@pytest.mark.parametrize("order", ["fixed", "sorted"])
def test_batches_that_are_kept(order: str, tools: Any):
    data, objective = tools.make_data(), Objective("classes")
    compare(tools, perceptron, data, objective, F.cross_entropy, order=order)


def test_a_single_logit(tools: Any):
    def loss(output: Tensor, y: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(output[:, 0], y.double())

    data = tools.make_data(task="binary")
    compare(tools, lambda: perceptron(1), data, Objective("classes"), loss)


def test_regression(tools: Any):
    def loss(output: Tensor, y: Tensor) -> Tensor:
        return F.mse_loss(output[:, 0], y)

    data = tools.make_data(task="regression")
    compare(tools, lambda: perceptron(1), data, Objective("regression"), loss)


def test_regression_of_several_outputs(tools: Any):
    data = tools.make_data(task="regression", target=(2,))
    objective = Objective("regression", "huber_loss")
    compare(tools, lambda: perceptron(2), data, objective, F.huber_loss)


def test_sequences(tools: Any):
    def loss(output: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(output.mT, y)  # torch wants classes second

    data = tools.make_data((5, 4), target=(5,))

    def objective(output: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(output, y)

    budget, recipe = Budget(10, 16, 1), Recipe("sgd", lr=0.1)
    ours, theirs = (tools.built(lambda: nn.Linear(4, 3), 5) for _ in range(2))
    stack = Alone(ours, recipe, Objective("classes", objective))
    [outcome] = train(stack, [5], data, budget)
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.1)
    expected = by_hand(theirs, optimizer, loss, data, budget)
    losses = [e.train_loss for e in outcome.evaluations[1:]]
    assert losses == pytest.approx(expected["train"], rel=1e-12)
    guess = theirs(data.test.x).argmax(-1)
    assert outcome.test_metric == pytest.approx((guess == data.test.y).double().mean().item())


def test_a_loss_of_the_users_own(tools: Any):
    def loss(output: Tensor, y: Tensor) -> Tensor:
        return (output - F.one_hot(y, 3)).square().mean() + 0.1 * output.abs().mean()

    compare(tools, perceptron, tools.make_data(), Objective("classes", loss), loss)


class Noisy(nn.Module):
    """Draws from the dropout stream in evaluation as well."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(F.dropout(x, 0.4))


@pytest.mark.parametrize("factory", [perceptron, Noisy])
def test_how_often_a_run_is_evaluated_has_no_influence(factory: Any, tools: Any):
    data, states = tools.make_data(), []
    for every in (1, 7, 100):
        network = tools.built(factory, 0)
        stack = Alone(network, OPTIMIZERS["momentum"][0], Objective("classes"))
        [outcome] = train(stack, [0], data, Budget(20, 16, every), draw_some)
        states.append((tools.state_of(network), outcome.test_loss))
    for state, test_loss in states[1:]:
        assert tools.distance(state, states[0][0]) == 0
        assert test_loss == states[0][1]


def draw_some(step: int, run: int, network: object) -> None:
    torch.rand(3)


def test_the_random_state_is_left_alone(tools: Any):
    before = torch.get_rng_state()
    stack = Alone(tools.built(perceptron, 0), Recipe(), Objective("classes"))
    train(stack, [0], tools.make_data(), Budget(5, 16, 2))
    assert torch.equal(torch.get_rng_state(), before)


def test_training_losses_are_means_since_the_evaluation_before(tools: Any):
    curves = []
    for every in (1, 4):
        stack = Alone(tools.built(perceptron, 0), Recipe(), Objective("classes"))
        [outcome] = train(stack, [0], tools.make_data(), Budget(10, 16, every))
        curves.append(outcome.evaluations)
    each = [e.train_loss for e in curves[0]]
    assert [e.step for e in curves[1]] == [0, 4, 8, 10]
    expected = [sum(each[1:5]) / 4, sum(each[5:9]) / 4, sum(each[9:11]) / 2]
    assert [e.train_loss for e in curves[1][1:]] == pytest.approx(expected, rel=1e-14)


def test_observers_see_the_network_at_every_evaluation(tools: Any):
    data, seen = tools.make_data(), []

    def observe(row: Evaluation, run: int, network_of_run: Callable[[], nn.Module]) -> None:
        step = row.step
        network = network_of_run().eval()
        with torch.no_grad():
            seen.append((step, run, F.cross_entropy(network(data.val.x), data.val.y).item()))
        network.train()

    stack = Alone(tools.built(perceptron, 0), Recipe(), Objective("classes"))
    [outcome] = train(stack, [0], data, Budget(10, 16, 4), observe)
    assert seen == [(e.step, 0, e.val_loss) for e in outcome.evaluations]


class Doomed(nn.Module):
    """Infinite from the sixth training step on."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)
        self.steps = 0

    def forward(self, x: Tensor) -> Tensor:
        self.steps += self.training
        return self.layer(x) * (math.nan if self.training and self.steps > 5 else 1)


def test_divergence_ends_the_run(tools: Any):
    seen, network = [], tools.built(Doomed, 0)
    [outcome] = train(
        Alone(network, Recipe(), Objective("classes")),
        [0],
        tools.make_data(),
        Budget(30, 16, 4),
        lambda row, run, network: seen.append(row.step),
    )
    assert (outcome.status, outcome.steps, network.steps) == ("diverged", 8, 8)
    assert [math.isfinite(e.train_loss) for e in outcome.evaluations] == [False, True, False]
    assert math.isnan(outcome.test_loss)
    assert math.isnan(outcome.test_metric)
    assert seen == [0, 4]
