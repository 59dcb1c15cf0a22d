"""Settings of a training, against loops written by hand with torch."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from normwise.data import Noise
from normwise.stack import Alone, Budget, NotStackable, Objective, Recipe, derive, train

SEED, BUDGET = 4, Budget(steps=100, batch_size=16, evaluate_every=100)
SGD, ADAM = Recipe("sgd", lr=0.1, momentum=0.9), Recipe("adam", lr=0.02)


def net(outputs: int = 3) -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, outputs))


def sgd(network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)


def adam(network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(network.parameters(), lr=0.02)


def entropy(output: Tensor) -> Tensor:
    """H of the softmax, the mean over a batch, as torch.distributions tells it."""
    return torch.distributions.Categorical(logits=output).entropy().mean()


def sure(network: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    output = network(x)
    loss = F.cross_entropy(output, y)
    return loss, loss - 0.3 * entropy(output)


def sure_and_smooth(network: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    output = network(x)
    loss = F.cross_entropy(output, y, label_smoothing=0.1)
    return loss, loss - 0.3 * entropy(output)


def of_two(network: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    output = network(x).squeeze(1)
    loss = F.binary_cross_entropy_with_logits(output, y.double())
    entropy = torch.distributions.Bernoulli(logits=output).entropy().mean()
    return loss, loss - 0.3 * entropy


def noisy() -> Callable[[nn.Module, Tensor, Tensor], tuple[Tensor, Tensor]]:
    draw = Generator().manual_seed(derive(SEED, "augment"))

    def losses(network: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        noise = torch.empty_like(x).normal_(generator=draw)
        loss = F.cross_entropy(network(x + 0.25 * noise), y)
        return loss, loss

    return losses


CASES: dict[str, tuple[Recipe, Any, Any, str, int]] = {
    "entropy": (replace(SGD, entropy=0.3), sgd, sure, "classes", 3),
    "entropy, adam": (replace(ADAM, entropy=0.3), adam, sure, "classes", 3),
    "entropy and smoothing": (
        *(replace(SGD, entropy=0.3, label_smoothing=0.1), sgd, sure_and_smooth, "classes", 3),
    ),
    "entropy of two": (replace(SGD, entropy=0.3), sgd, of_two, "binary", 1),
    "noise": (replace(ADAM, augment=(Noise(0.25),)), adam, noisy(), "classes", 3),
}


@pytest.mark.parametrize("name", CASES)
def test_a_loop_by_hand_does_the_same(name: str, tools: Any):
    recipe, make, losses_of, task, outputs = CASES[name]
    data = tools.make_data(task=task)
    ours, theirs = (tools.built(partial(net, outputs), SEED) for _ in range(2))
    alone = Alone(ours, recipe, Objective("classes"), SEED)
    [outcome] = train(alone, [SEED], data, BUDGET)
    optimizer, reported = make(theirs), []
    for x, y in tools.batches(data, BUDGET, SEED):
        loss, whole = losses_of(theirs, x, y)
        optimizer.zero_grad()
        whole.backward()
        optimizer.step()
        reported.append(loss.item())
    assert tools.distance(tools.state_of(ours), tools.state_of(theirs)) < 1e-10
    # The bonus is not in the loss that is reported.
    assert outcome.evaluations[-1].train_loss == pytest.approx(sum(reported) / 100, rel=1e-10)


@pytest.mark.parametrize("kind", ["sgd", "adam"])
@pytest.mark.parametrize(("task", "outputs"), [("classes", 3), ("binary", 1)])
def test_strengths_of_the_bonus_differ_between_runs(kind: str, task: str, outputs: int, tools: Any):
    base = SGD if kind == "sgd" else ADAM
    recipes = [replace(base, entropy=e) for e in (0.3, 0.0, 0.01)]
    if task == "classes":
        recipes.append(replace(base, entropy=0.3, label_smoothing=0.1))
    data, objective = tools.make_data(task=task), Objective("classes")
    network = partial(tools.built, partial(net, outputs))
    tools.agree(network, recipes, data, objective=objective)
    stack = tools.stack_of([network(s) for s in range(3)], recipes[:3], data, objective, 16)
    stack.keep([2, 0])
    alone = [Alone(network(run), recipes[run], objective) for run in (2, 0)]
    for x, y in tools.batches(data, Budget(5, 16, 5), SEED):
        losses = stack.step(*(t.expand(2, *t.shape) for t in (x, y)))
        theirs = torch.cat([run.step(x[None], y[None]) for run in alone])
        torch.testing.assert_close(losses, theirs, rtol=1e-11, atol=1e-13)


def test_a_bonus_of_sequences(tools: Any):
    data = tools.make_data((5, 4), target=(5,))
    network = partial(tools.built, lambda: nn.Linear(4, 3))
    tools.agree(network, [replace(SGD, entropy=e) for e in (0.3, 0.1)], data)


def test_bfloat16_is_torchs_autocast(tools: Any):
    data = tools.make_data(dtype=torch.float32)
    ours, theirs = (tools.built(net, SEED).float() for _ in range(2))
    train(Alone(ours, replace(ADAM, precision="bf16"), Objective("classes")), [SEED], data, BUDGET)
    optimizer = torch.optim.Adam(theirs.parameters(), lr=0.02, fused=True)
    for x, y in tools.batches(data, BUDGET, SEED):
        with torch.autocast("cpu", torch.bfloat16):
            output = theirs(x)
            loss = F.cross_entropy(output, y)
        assert output.dtype == torch.bfloat16
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert tools.distance(tools.state_of(ours), tools.state_of(theirs)) == 0
    assert all(p.dtype == torch.float32 for p in ours.parameters())


def test_runs_in_bfloat16_train_alone(tools: Any):
    networks = [tools.built(net, seed).float() for seed in range(2)]
    recipes = [replace(SGD, precision="bf16")] * 2
    with pytest.raises(NotStackable, match="precision=bf16"):
        tools.stack_of(
            networks, recipes, tools.make_data(dtype=torch.float32), Objective("classes"), 16
        )
