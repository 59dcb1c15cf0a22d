"""Runs of one seed share its batches: the results are those of every run alone."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from normwise.data import Split
from normwise.stack import Budget, Objective, Recipe, Schedule, Stacked, train
from normwise.stack.sharing import repeated, shared_baddbmm, shared_bmm

OBJECTIVE = Objective("classes")
SEEDS = [0, 1, 2] * 3
RECIPES = [
    *[Recipe("sgd", lr=0.1)] * 3,
    *[Recipe("sgd", lr=0.3, weight_decay=0.01)] * 3,
    *[Recipe("sgd", lr=0.2, schedule=Schedule("cosine", 50))] * 3,
]


class Half(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[:, ::2] + x.flip(1)[:, ::2]


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int]] = {
    "linear": (lambda: nn.Linear(6, 3), (6,), 0),
    "no bias": (lambda: nn.Linear(6, 3, bias=False), (6,), 0),
    "perceptron": (
        lambda: nn.Sequential(
            *(nn.Flatten(), nn.Linear(12, 8), nn.BatchNorm1d(8), nn.ReLU()),
            *(nn.Dropout(0.2), nn.Linear(8, 3)),
        ),
        (3, 4),
        0,
    ),
    "convolution": (
        lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)),
        (2, 6, 6),
        0,
    ),
    "sequence": (
        lambda: nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Flatten(), nn.Linear(15, 3)),
        (3, 4),
        0,
    ),
    "not a product": (lambda: nn.Sequential(Half(), nn.Linear(3, 3)), (6,), 0),
    "tokens": (
        lambda: nn.Sequential(nn.Embedding(7, 4), nn.Flatten(), nn.Linear(12, 3)),
        (3,),
        7,
    ),
}


def check(factory: Any, shape: Any, tokens: int, recipes: list[Recipe], tools: Any) -> None:
    data, budget = tools.make_data(shape, tokens=tokens), Budget(50, 16, 10)
    networks = [tools.built(factory, seed) for seed in SEEDS]
    outcomes, states = tools.train_stacked(networks, recipes, SEEDS, data, OBJECTIVE, budget)
    networks = [tools.built(factory, seed) for seed in SEEDS]
    alone = tools.train_alone(networks, recipes, SEEDS, data, OBJECTIVE, budget)
    assert max(tools.gap((outcomes, states), alone)) <= 1e-10


@pytest.mark.parametrize("name", NETWORKS)
def test_runs_with_shared_batches_are_the_runs_alone(name: str, tools: Any):
    check(*NETWORKS[name], RECIPES, tools)


@pytest.mark.parametrize(
    "options", [{"momentum": 0.9}, {"clip": 0.2}, {"optimizer": "adam", "lr": 0.01}]
)
def test_with_optimizers_that_need_the_whole_gradient(options: dict[str, Any], tools: Any):
    check(*NETWORKS["perceptron"], [Recipe(**options)] * 9, tools)


def example(data: Any) -> Split:
    return Split(data.train.x[:16], data.train.y[:16])


@pytest.mark.parametrize(
    ("seeds", "batches"),
    [
        ([4, 5, 6], 3),
        ([4, 5, 6, 4, 5, 6], 3),
        ([4, 4, 4], 1),
        ([4, 5, 5, 4], 4),
        ([4, 5, 4], 3),
        ([4], 1),
    ],
)
def test_batches_are_shared_where_seeds_come_again_in_one_order(
    seeds: list[int], batches: int, tools: Any
):
    networks = [tools.built(lambda: nn.Linear(6, 3), seed) for seed in seeds]
    stack = Stacked(networks, [Recipe()] * len(seeds), OBJECTIVE, seeds, example(tools.make_data()))
    assert stack.batches == batches


def test_a_copy_of_the_batch_is_made_for_what_needs_one_only(tools: Any):
    """The program of a perceptron multiplies with the three batches that there are."""
    data = tools.make_data()
    networks = [tools.built(lambda: nn.Linear(6, 3), seed) for seed in SEEDS]
    stack = Stacked(networks, RECIPES, OBJECTIVE, SEEDS, example(data))
    shapes = [
        tuple(node.meta["val"].shape)
        for node in stack._program.graph.graph.nodes
        if node.op != "output" and isinstance(node.meta.get("val"), Tensor)
    ]
    assert (3, 16, 6) in shapes
    assert (9, 16, 6) not in shapes


def test_a_run_that_leaves_takes_the_sharing_along(tools: Any):
    """Its seed's other runs go on as if nothing had happened."""
    data, budget = tools.make_data(), Budget(30, 16, 10)
    recipes = [*RECIPES[:4], Recipe("sgd", lr=1e10, weight_decay=1e300), *RECIPES[5:]]

    def factory() -> nn.Module:
        return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))

    networks = [tools.built(factory, seed) for seed in SEEDS]
    stack = Stacked(networks, recipes, OBJECTIVE, SEEDS, example(data))
    outcomes = train(stack, SEEDS, data, budget)
    assert [outcome.status for outcome in outcomes].count("diverged") == 1
    assert (stack.size, stack.batches) == (8, 8)
    for run in (0, 1, 3, 7):
        alone = tools.train_alone(
            [tools.built(factory, SEEDS[run])],
            [recipes[run]],
            [SEEDS[run]],
            data,
            OBJECTIVE,
            budget,
        )
        assert tools.apart(outcomes[run], alone[0][0]) <= 1e-10


@given(st.integers(1, 4), st.integers(1, 4), *(st.integers(1, 5),) * 3)
def test_shared_products(batches: int, times: int, n: int, k: int, m: int):
    draw = torch.Generator().manual_seed(0)
    left, right, bias = (
        torch.randn(*shape, generator=draw, dtype=torch.float64)
        for shape in ((batches, n, k), (batches * times, k, m), (batches * times, 1, m))
    )
    expected = repeated(left, batches * times) @ right
    torch.testing.assert_close(shared_bmm(left, right), expected)
    torch.testing.assert_close(shared_baddbmm(bias, left, right), expected + bias)
