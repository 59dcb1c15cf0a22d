"""Runs with the layers of normwise.layers, stacked and alone; each run may have a p of its own."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from normwise.data import Split
from normwise.layers import (
    ConcreteDropout,
    DropBlock2d,
    Dropout,
    DynamicTanh,
    FilterResponseNorm,
    GaussianDropout,
    LockedDropout,
    StochasticDepth,
    Uout,
    WhitenNorm2d,
    drop_connect,
    standardize_weight,
)
from normwise.stack import Budget, NotStackable, Objective, Recipe, Stacked

P = (0.1, 0.3, 0.1, 0.5)
RECIPES = [Recipe("sgd", lr=0.05, momentum=0.9)] * 4
BUDGET = Budget(steps=8, batch_size=16, evaluate_every=4)


class Residual(nn.Module):
    def __init__(self, p: float) -> None:
        super().__init__()
        self.body, self.drop = nn.Linear(8, 8), StochasticDepth(p)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.drop(self.body(x).tanh())


class Recurrent(nn.Module):
    def __init__(self, layer: nn.Module, drop: nn.Module) -> None:
        super().__init__()
        self.layer, self.drop, self.head = layer, drop, nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.drop(self.layer(x)[0])[:, -1])


def mlp(*between: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), *between, nn.Linear(8, 3))


def cnn(*between: nn.Module, conv: nn.Module | None = None) -> nn.Module:
    conv = conv or nn.Conv2d(2, 4, 3)
    return nn.Sequential(conv, *between, nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))


def lstm(p: float) -> nn.Module:
    drop = LockedDropout(p, batch_first=True)
    return Recurrent(drop_connect(nn.LSTM(4, 5, batch_first=True), p), drop)


VECTOR, IMAGE, TOKENS = (6,), (2, 6, 6), (5, 4)

NETWORKS: dict[str, tuple[Callable[[float], nn.Module], tuple[int, ...]]] = {
    "Dropout": (lambda p: mlp(nn.Tanh(), Dropout(p)), VECTOR),
    "GaussianDropout": (lambda p: mlp(nn.Tanh(), GaussianDropout(p)), VECTOR),
    "Uout": (lambda p: mlp(nn.Tanh(), Uout(p)), VECTOR),
    "ConcreteDropout": (lambda p: mlp(nn.Tanh(), ConcreteDropout(0.2)), VECTOR),
    "StochasticDepth": (lambda p: mlp(Residual(p)), VECTOR),
    "DropBlock2d": (lambda p: cnn(DropBlock2d(p, 2)), IMAGE),
    "DropConnect": (
        lambda p: nn.Sequential(drop_connect(nn.Linear(6, 8), p), nn.Tanh(), nn.Linear(8, 3)),
        VECTOR,
    ),
    "DropConnect in a convolution": (
        lambda p: cnn(conv=drop_connect(nn.Conv2d(2, 4, 3), p)),
        IMAGE,
    ),
    "DropConnect and LockedDropout": (lstm, TOKENS),
    "WhitenNorm2d": (lambda p: cnn(WhitenNorm2d(4)), IMAGE),
    "FilterResponseNorm": (lambda p: cnn(FilterResponseNorm(4, 1e-3)), IMAGE),
    "DynamicTanh": (lambda p: mlp(DynamicTanh(8), nn.ReLU()), VECTOR),
    "WeightStandardization": (
        lambda p: cnn(conv=standardize_weight(nn.Conv2d(2, 4, 3))),
        IMAGE,
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_stacked_is_alone(tools: SimpleNamespace, name: str):
    make, shape = NETWORKS[name]

    def network(seed: int) -> nn.Module:
        return tools.built(lambda: make(P[seed]), seed)

    tools.agree(network, RECIPES, tools.make_data(shape), runs=[1], budget=BUDGET)


class Halved(nn.Dropout):
    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.p / 2, self.training)


class Scaled(nn.Dropout):
    def forward(self, x: Tensor) -> Tensor:
        return x * self.p


def test_arithmetic_with_p_is_done_for_every_run(tools: SimpleNamespace):
    def network(seed: int) -> nn.Module:
        return tools.built(lambda: mlp(nn.Tanh(), Halved(P[seed])), seed)

    tools.agree(network, RECIPES, tools.make_data(VECTOR), runs=[1], budget=BUDGET)


def stacked(*drops: nn.Module) -> Stacked:
    networks = [mlp(nn.Tanh(), drop) for drop in drops]
    example = Split(torch.rand(8, 6), torch.zeros(8, dtype=torch.long))
    recipes = [Recipe()] * len(drops)
    return Stacked(networks, recipes, Objective("classes"), range(len(drops)), example)


def test_a_p_that_meets_a_tensor_is_refused():
    with pytest.raises(NotStackable, match="numbers that differ from run to run"):
        stacked(*map(Scaled, P[:3]))
    stacked(*[Scaled(0.3)] * 3)


def test_a_generator_of_its_own_is_refused():
    drops = [Dropout(0.3, generator=torch.Generator().manual_seed(0)) for _ in range(2)]
    with pytest.raises(NotStackable, match="draws random numbers of its own"):
        stacked(*drops)


def test_classic_scaling_is_evaluated_with_the_runs_own_p(tools: SimpleNamespace):
    def network(seed: int) -> nn.Module:
        return tools.built(lambda: mlp(nn.Tanh(), Dropout(P[seed], scaling="classic")), seed)

    tools.agree(network, RECIPES, tools.make_data(VECTOR), runs=[1], budget=BUDGET)
