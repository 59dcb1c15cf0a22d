"""L1, L2 and decoupled weight decay, against loops written by hand with torch.optim."""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from normwise import layers
from normwise.errors import UsageError
from normwise.stack import Alone, Budget, Objective, Penalty, Recipe, Schedule, train
from normwise.stack.penalties import Strengths, strengths

OBJECTIVE, SEED = Objective("classes"), 4
BUDGET = Budget(steps=100, batch_size=16, evaluate_every=100)
DECAYED = {"first.weight", "head.weight"}


class Net(nn.Module):
    """Two layers with a norm between them, and a weight that nothing uses."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.head = nn.Linear(6, 8), nn.LayerNorm(8), nn.Linear(8, 3)
        self.unused = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.first(x)).tanh())


def used(network: nn.Module, names: set[str]) -> list[Tensor]:
    return [p for n, p in network.named_parameters() if n in names]


def groups(network: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Parameter groups for AdamW: weights, and all else."""
    rest = {n for n, _ in network.named_parameters()} - DECAYED
    return [
        {"params": used(network, DECAYED), "weight_decay": decay},
        {"params": used(network, rest), "weight_decay": 0.0},
    ]


Hook = Callable[[nn.Module, torch.optim.Optimizer], None]


def nothing(network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Do nothing before a step."""


def shrink(network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Decoupled decay by hand."""
    with torch.no_grad():
        for weight in used(network, DECAYED):
            weight.copy_(weight - optimizer.param_groups[0]["lr"] * 0.3 * weight)


Terms = Callable[[nn.Module], Tensor | float]
Make = Callable[[nn.Module], torch.optim.Optimizer]


def squares(network: nn.Module) -> Tensor:
    return sum((w**2).sum() for w in used(network, DECAYED))  # type: ignore[return-value]


def sizes(network: nn.Module) -> Tensor:
    return sum(w.abs().sum() for w in used(network, DECAYED))  # type: ignore[return-value]


def head_only(network: nn.Module) -> Tensor:
    return 0.01 * (network.head.weight**2).sum()


def sgd(network: nn.Module, **options: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(network.parameters(), lr=0.1, **options)


def adam(network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(network.parameters(), lr=0.02)


def adamw(network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups(network, 0.3), lr=0.02)


SGD = Recipe("sgd", lr=0.1)
MOMENTUM = replace(SGD, momentum=0.9)
ADAM = Recipe("adam", lr=0.02)
momentum = partial(sgd, momentum=0.9)
L1, L2, WD = {"l1": Penalty(0.003)}, {"l2": Penalty(0.01)}, {"wd": Penalty(0.3)}

CASES: dict[str, tuple[Recipe, Make, Terms, Hook, float | None]] = {
    "l2": (replace(SGD, **L2), sgd, lambda n: 0.01 * squares(n), nothing, None),
    "l1": (replace(SGD, **L1), sgd, lambda n: 0.003 * sizes(n), nothing, None),
    "head": (replace(SGD, l2=Penalty(0.01, "h*")), sgd, head_only, nothing, None),
    "all, weight_decay and a norm": (
        replace(SGD, **L1, **L2, **WD, weight_decay=0.05, clip=0.5),
        partial(sgd, weight_decay=0.05),
        lambda n: 0.003 * sizes(n) + 0.01 * squares(n),
        shrink,
        0.5,
    ),
    "all, plain": (
        replace(SGD, **L1, **L2, **WD, weight_decay=0.05),
        partial(sgd, weight_decay=0.05),
        lambda n: 0.003 * sizes(n) + 0.01 * squares(n),
        shrink,
        None,
    ),
    "momentum": (
        replace(MOMENTUM, **L1, **L2),
        momentum,
        lambda n: 0.003 * sizes(n) + 0.01 * squares(n),
        nothing,
        None,
    ),
    "momentum, wd": (replace(MOMENTUM, **WD), momentum, lambda n: 0.0, shrink, None),
    "adam, l2": (replace(ADAM, **L2), adam, lambda n: 0.01 * squares(n), nothing, None),
    # Adam with a decoupled decay is AdamW.
    "adam, wd": (replace(ADAM, **WD), adamw, lambda n: 0.0, nothing, None),
    "adamw, wd": (
        replace(ADAM, optimizer="adamw", weight_decay=0.7, **WD), adamw, lambda n: 0.0, nothing,
        None,
    ),
    "adamw, none": (
        replace(ADAM, optimizer="adamw", wd=Penalty(0.0)), adam, lambda n: 0.0, nothing, None,
    ),
}  # fmt: skip


def by_hand(
    tools: Any,
    network: nn.Module,
    make: Make,
    terms: Terms,
    hook: Hook,
    clip: float | None,
    schedule: Callable[[torch.optim.Optimizer], Any] | None = None,
) -> list[float]:
    """Train with terms in the loss; return the losses without them."""
    optimizer, losses = make(network), []
    dial = None if schedule is None else schedule(optimizer)
    for x, y in tools.batches(tools.make_data(), BUDGET, SEED):
        loss = F.cross_entropy(network(x), y)
        optimizer.zero_grad()
        (loss + terms(network)).backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(network.parameters(), clip)
        hook(network, optimizer)
        optimizer.step()
        if dial is not None:
            dial.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("name", CASES)
def test_a_loop_by_hand_does_the_same(name: str, tools: Any):
    recipe, *rest = CASES[name]
    ours, theirs = tools.built(Net, SEED), tools.built(Net, SEED)
    [outcome] = train(Alone(ours, recipe, OBJECTIVE), [SEED], tools.make_data(), BUDGET)
    losses = by_hand(tools, theirs, *rest)
    assert tools.distance(tools.state_of(ours), tools.state_of(theirs)) < 1e-10
    # The terms are not in the losses that are reported.
    assert outcome.evaluations[-1].train_loss == pytest.approx(sum(losses) / 100, rel=1e-10)


def test_the_decay_follows_the_schedule(tools: Any):
    recipe = replace(ADAM, **WD, schedule=Schedule("cosine", 100))
    ours, theirs = tools.built(Net, SEED), tools.built(Net, SEED)
    train(Alone(ours, recipe, OBJECTIVE), [SEED], tools.make_data(), BUDGET)
    cosine = partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=100)
    by_hand(tools, theirs, adamw, lambda n: 0.0, nothing, None, cosine)
    assert tools.distance(tools.state_of(ours), tools.state_of(theirs)) < 1e-10


COSINE = Schedule("cosine", 50)
MIXED = {
    "plain": [
        replace(SGD, **L1),
        SGD,
        replace(SGD, **L2, schedule=COSINE),
        replace(SGD, **WD, weight_decay=0.1),
        replace(SGD, **L1, **L2, **WD, lr=0.02),
        replace(SGD, l2=Penalty(0.1, "head"), wd=Penalty(0.2, "f*")),
    ],
    "momentum": [replace(MOMENTUM, **L1, **L2), MOMENTUM, replace(MOMENTUM, clip=0.5, **WD)],
    "adam": [ADAM, replace(ADAM, **WD, schedule=COSINE), replace(ADAM, **L2), replace(ADAM, **L1)],
    "adamw": [
        replace(ADAM, optimizer="adamw"),
        replace(ADAM, optimizer="adamw", **WD),
        replace(ADAM, optimizer="adamw", wd=Penalty(0.1, "head")),
    ],
}


@pytest.mark.parametrize("name", MIXED)
def test_strengths_differ_between_the_runs_of_a_stack(name: str, tools: Any):
    tools.agree(partial(tools.built, Net), MIXED[name], tools.make_data())


@pytest.mark.parametrize("name", MIXED)
def test_runs_that_leave_take_their_strengths_with_them(name: str, tools: Any):
    recipes, data = MIXED[name], tools.make_data()
    networks = [tools.built(Net, seed) for seed in range(len(recipes))]
    stack = tools.stack_of(networks, recipes, data, OBJECTIVE, 16)
    alone = [Alone(n, recipe, OBJECTIVE) for n, recipe in zip(networks, recipes, strict=True)]
    for step, (x, y) in enumerate(tools.batches(data, replace(BUDGET, steps=20), SEED)):
        stack.step(x.expand(stack.size, *x.shape), y.expand(stack.size, *y.shape))
        for run in alone:
            run.step(x[None], y[None])
        if step == 9:
            del alone[1]
            stack.keep([run for run in range(stack.size) if run != 1])
    for place, run in enumerate(alone):
        ours, theirs = (tools.state_of(n) for n in (stack.network(place), run.network(0)))
        assert tools.distance(ours, theirs) < 1e-10


class Odd(nn.Module):
    """Norms of every kind, with parameters of several axes, and weights of every kind."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.batch = nn.Conv1d(4, 4, 1), nn.BatchNorm1d(4)
        self.embed, self.wide = nn.Embedding(3, 4), nn.LayerNorm((4, 5))
        self.dyt, self.frn = layers.DynamicTanh(4), layers.FilterResponseNorm(4)
        self.lstm, self.act = nn.LSTM(2, 3), nn.PReLU(4)
        self.token = nn.Parameter(torch.zeros(1, 4))


def test_weights_are_what_has_two_axes_and_is_in_no_norm():
    found = strengths(Odd(), {"l1": Penalty(0.5), "wd": Penalty(0.25), "l2": None})
    weights = {"conv.weight", "embed.weight", "token", "lstm.weight_ih_l0", "lstm.weight_hh_l0"}
    assert found == dict.fromkeys(weights, Strengths(l1=0.5, wd=0.25))


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("conv", {"conv.weight"}),
        ("lstm*", {"lstm.weight_ih_l0", "lstm.weight_hh_l0"}),
        ("[ce]*", {"conv.weight", "embed.weight"}),
        ("", {"conv.weight", "embed.weight", "token", "lstm.weight_ih_l0", "lstm.weight_hh_l0"}),
    ],
)
def test_layers_are_chosen_by_name(pattern: str, names: set[str]):
    assert Penalty(1.0, pattern).weights(Odd(), "l2") == names


def test_a_name_means_all_that_is_inside():
    network = nn.ModuleDict({"encoder": nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))})
    assert Penalty(1.0, "encoder").weights(network, "l1") == {
        "encoder.0.weight",
        "encoder.1.weight",
    }


def test_patterns_that_match_nothing_are_told_at_once(tools: Any):
    recipe = replace(SGD, l1=Penalty(1e-4, "haed"), l2=Penalty(1.0, "norm"))
    with pytest.raises(UsageError) as caught:
        Alone(tools.built(Net, 0), recipe, OBJECTIVE)
    first, second = caught.value.problems
    assert re.match(
        r"l1=0.0001:haed: layers='haed' matches no layer with weights \(did you mean 'head'\?\): "
        r"there are \(the network\), first, head, unused",
        first,
    )
    assert second.startswith("l2=1:norm: layers='norm' matches no layer with weights")


@settings(max_examples=20, deadline=None)
@given(
    kind=st.sampled_from(["sgd", "adam", "adamw"]),
    momentum=st.sampled_from([0.0, 0.9]),
    chosen=st.lists(
        st.tuples(*(st.sampled_from([0.0, 1e-3, 0.1]) for _ in range(3))), min_size=1, max_size=4
    ),
)
def test_any_strengths(kind: str, momentum: float, chosen: list[tuple[float, ...]], tools: Any):
    recipes = [
        Recipe(kind, 0.05, momentum if kind == "sgd" else 0.0, l1=a, l2=b, wd=c)
        for a, b, c in (map(Penalty, each) for each in chosen)
    ]
    budget = Budget(10, 16, 5)
    tools.agree(partial(tools.built, Net), recipes, tools.make_data(), budget=budget)
