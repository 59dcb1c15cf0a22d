"""Small data, and what it means that a stack agrees with its runs alone."""

from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from normwise.data import Data, Split
from normwise.stack import Alone, Budget, Objective, Order, Outcome, Recipe, Stacked, seeded, train


def make_data(
    shape: Sequence[int] = (6,),
    task: str = "classes",
    tokens: int = 0,
    dtype: torch.dtype = torch.float64,
    target: Sequence[int] = (),
) -> Data:
    """Return 48 samples to train on and 20 each to select by and to test.

    Args:
        shape: of a sample.
        task: three classes, `binary` (two of them) or `regression`.
        tokens: where not 0, samples are integers below it.
        dtype: of all else.
        target: shape of a sample's target.
    """
    draw = torch.Generator().manual_seed(11)
    splits = []
    for n in (48, 20, 20):
        x = torch.randn(n, *shape, generator=draw, dtype=torch.float64)
        score = x.flatten(1)[:, :4].sum(1) + 0.1 * torch.randn(n, generator=draw).double()
        score = score.view(-1, *(1 for _ in target)).expand(n, *target).contiguous()
        if tokens:
            x = (x * tokens).long() % tokens
        y = {
            "classes": torch.bucketize(score, torch.tensor([-1.0, 1.0]).double()),
            "binary": (score > 0).long(),
            "regression": score.to(dtype),
        }[task]
        splits.append(Split(x if tokens else x.to(dtype), y))
    return Data("made", *splits, task="regression" if task == "regression" else "classes")


def built(factory: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Return the float64 network of one seed."""
    with seeded(seed):
        return factory().double()


Trained = tuple[list[Outcome], list[dict[str, Tensor]]]


def train_alone(
    networks: Sequence[nn.Module],
    recipes: Sequence[Recipe],
    seeds: Sequence[int],
    data: Data,
    objective: Objective,
    budget: Budget,
) -> Trained:
    """Train every network in a loop of its own; return outcomes and final states."""
    outcomes, states = [], []
    for network, recipe, seed in zip(networks, recipes, seeds, strict=True):
        outcomes += train(Alone(network, recipe, objective, seed), [seed], data, budget)
        states.append(state_of(network))
    return outcomes, states


def stack_of(
    networks: Sequence[nn.Module],
    recipes: Sequence[Recipe],
    data: Data,
    objective: Objective,
    batch_size: int,
    seeds: Sequence[int] | None = None,
) -> Stacked:
    """Return networks as a stack; their seeds count from 0 unless others are given."""
    example = data.train[:batch_size]
    return Stacked(networks, recipes, objective, seeds or range(len(networks)), example)


def batches(data: Data, budget: Budget, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the batches that a run of this seed trains on, one by one."""
    order = Order(len(data.train), budget.batch_size, seed)
    left = budget.steps
    while left:
        for batch in order.next_epoch()[:left]:
            yield data.train.x[batch], data.train.y[batch]
            left -= 1


def train_stacked(
    networks: Sequence[nn.Module],
    recipes: Sequence[Recipe],
    seeds: Sequence[int],
    data: Data,
    objective: Objective,
    budget: Budget,
) -> Trained:
    """Train all networks as one stack; return outcomes and final states."""
    stack = stack_of(networks, recipes, data, objective, budget.batch_size, seeds)
    outcomes = train(stack, seeds, data, budget)
    return outcomes, [state_of(stack.network(run)) for run in range(stack.size)]


def state_of(network: nn.Module) -> dict[str, Tensor]:
    """Return copies of a network's parameters and buffers."""
    tensors = [*network.named_parameters(), *network.named_buffers()]
    return {name: tensor.detach().clone() for name, tensor in tensors}


def distance(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
    """Return how far two states are apart, relative to the norm of the second."""
    assert ours.keys() == theirs.keys()
    far = sum(float((ours[n].double() - t.double()).square().sum()) for n, t in theirs.items())
    norm = sum(float(t.double().square().sum()) for t in theirs.values())
    return (far / norm) ** 0.5


def apart(ours: Outcome, theirs: Outcome) -> float:
    """Return how far two curves are apart, relative to the second."""
    a, b = (
        torch.tensor(
            [
                *(number for e in each.evaluations[1:] for number in (e.train_loss, e.val_loss)),
                each.test_loss,
                each.test_metric,
            ],
            dtype=torch.float64,
        )
        for each in (ours, theirs)
    )
    return float((a - b).norm() / b.norm())


def gap(ours: Trained, theirs: Trained) -> list[float]:
    """Return how far every run is off, in its curve or its final state."""
    pairs = zip(*ours, *theirs, strict=True)
    return [max(apart(a, c), distance(b, d)) for a, b, c, d in pairs]


def nudged(network: nn.Module) -> nn.Module:
    """Move every weight by a unit in its last place."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1 + torch.finfo(parameter.dtype).eps)
    return network


def agree(
    network: Callable[[int], nn.Module],
    recipes: Sequence[Recipe],
    data: Data,
    runs: Sequence[int] | None = None,
    objective: Objective | None = None,
    budget: Budget = Budget(steps=50, batch_size=16, evaluate_every=25),  # noqa: B008
) -> None:
    """Train a stack, and some of its runs alone; fail where more than rounding is between them.

    Args:
        network: makes the network of a seed; there is a seed for every recipe.
        recipes: one per run.
        data: in float64.
        runs: which to train alone; None for all.
        objective: of all runs.
        budget: of all runs.
    """
    seeds = range(len(recipes))
    objective = objective or Objective(data.task)
    outcomes, states = train_stacked(
        [network(seed) for seed in seeds], recipes, seeds, data, objective, budget
    )
    for run in seeds if runs is None else runs:
        args = [recipes[run]], [run], data, objective, budget
        alone = train_alone([network(run)], *args)
        [off] = gap(([outcomes[run]], [states[run]]), alone)
        if not off <= 1e-10:  # or is it chaos, which makes much of little?
            [chaos] = gap(train_alone([nudged(network(run))], *args), alone)
            assert off <= 100 * chaos, f"run {run}: {off:.1e}, where a nudge makes {chaos:.1e}"


@pytest.fixture(scope="session")
def tools() -> SimpleNamespace:
    """Return the functions above."""
    return SimpleNamespace(
        agree=agree,
        apart=apart,
        batches=batches,
        built=built,
        distance=distance,
        gap=gap,
        make_data=make_data,
        stack_of=stack_of,
        state_of=state_of,
        train_alone=train_alone,
        train_stacked=train_stacked,
    )
