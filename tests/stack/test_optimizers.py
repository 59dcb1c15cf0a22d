"""An optimizer of stacked weights, against torch's own for every run."""

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from normwise.stack import Penalty, Recipe
from normwise.stack.optimizers import ByGroups, stacked_optimizer
from normwise.stack.penalties import StackedShrinking
from normwise.stack.products import Product

SHAPES = {"matrix": (3, 2), "vector": (2,), "number": ()}
RECIPES = {
    "sgd": [Recipe("sgd", lr=0.1), Recipe("sgd", lr=0.2)],
    "momentum": [
        Recipe("sgd", lr=0.1),
        Recipe("sgd", lr=0.1, momentum=0.9),
        Recipe("sgd", lr=0.1, momentum=0.5, nesterov=True, weight_decay=0.1),
    ],
    "adam": [Recipe("adam", lr=0.1), Recipe("adam", lr=0.02, weight_decay=0.3)],
    "adamw": [Recipe("adamw", lr=0.1), Recipe("adamw", lr=0.1, weight_decay=0.0)],
}


class Both:
    """A stacked optimizer, and torch's default ones, fed with the same gradients."""

    def __init__(self, recipes: Sequence[Recipe]) -> None:
        self.draw = torch.Generator().manual_seed(0)
        runs = len(recipes)
        self.weights = [self.random(runs, *shape) for shape in SHAPES.values()]
        nothing = StackedShrinking([{}] * runs, list(SHAPES), torch.device("cpu"))
        self.optimizer = stacked_optimizer(self.weights, recipes, nothing)
        self.alone = [
            [w[run].clone().requires_grad_() for w in self.weights] for run in range(runs)
        ]
        kinds = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
        self.optimizers = [
            kinds[recipe.optimizer](weights, **recipe.options())
            for recipe, weights in zip(recipes, self.alone, strict=True)
        ]

    def random(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.draw, dtype=torch.float64)

    def step(self, without: int | None = None) -> None:
        """Update all; the weight at one position has no gradient."""
        gradients: list[Tensor | None] = [self.random(*w.shape) for w in self.weights]
        if without is not None:
            gradients[without] = None
        self.optimizer.step(gradients)
        for run, optimizer in enumerate(self.optimizers):
            for weight, gradient in zip(self.alone[run], gradients, strict=True):
                weight.grad = None if gradient is None else gradient[run].clone()
            optimizer.step()

    def keep(self, runs: Sequence[int]) -> None:
        self.weights = [weight[list(runs)] for weight in self.weights]
        self.optimizer = self.optimizer.keep(self.weights, runs)
        self.alone = [self.alone[run] for run in runs]
        self.optimizers = [self.optimizers[run] for run in runs]

    def check(self) -> None:
        for run, weights in enumerate(self.alone):
            for ours, theirs in zip(self.weights, weights, strict=True):
                torch.testing.assert_close(ours[run], theirs.detach(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", RECIPES)
def test_weights_and_state_are_torchs(name: str):
    a, *_, b = RECIPES[name]
    both = Both([a, a, b, a, b, b])
    for _ in range(4):
        both.step()
    both.check()
    both.keep([0, 1, 3, 4])  # the runs of `a` become neighbours
    for _ in range(3):
        both.step()
    both.check()
    both.keep([2, 3])
    both.step()
    both.check()


@given(data=st.data(), name=st.sampled_from(list(RECIPES)))
def test_any_runs_leave_at_any_time(data: st.DataObject, name: str):
    recipes = data.draw(st.lists(st.sampled_from(RECIPES[name]), min_size=1, max_size=6))
    both = Both(recipes)
    for _ in range(3):
        for _ in range(data.draw(st.integers(0, 2), label="steps")):
            both.step()
        left = len(both.alone)
        both.keep(sorted(data.draw(st.sets(st.integers(0, left - 1), min_size=1), label="kept")))
    both.step()
    both.check()


@pytest.mark.parametrize("name", RECIPES)
def test_a_weight_without_gradient_stays(name: str):
    both = Both([RECIPES[name][-1]] * 2 + [RECIPES[name][0]])
    before = both.weights[1].clone()
    for _ in range(3):
        both.step(without=1)
    both.keep([0, 2])
    both.step(without=1)
    both.check()
    assert torch.equal(both.weights[1], before[[0, 2]])


def test_products_need_not_be_written_down():
    draw = torch.Generator().manual_seed(0)
    for recipe in RECIPES["momentum"]:
        both = Both([recipe, RECIPES["momentum"][1]] * 2)
        twin = [weight.clone() for weight in both.weights]
        nothing = StackedShrinking([{}] * 4, list(SHAPES), torch.device("cpu"))
        optimizer = stacked_optimizer(twin, [recipe, RECIPES["momentum"][1]] * 2, nothing)
        for _ in range(4):
            left = torch.randn(2, 3, 5, generator=draw).double()  # two batches for four runs
            right = torch.randn(4, 5, 2, generator=draw).double()
            product = Product(left, right)
            both.optimizer.step([product.value(), None, None])
            optimizer.step([product, None, None])
        torch.testing.assert_close(twin, both.weights, rtol=1e-12, atol=1e-14)


def test_runs_that_are_updated_alike_are_one_group():
    alike = [
        Recipe("adam", lr=0.1, entropy=e, l2=Penalty(e), clip=c) for e in (0, 1) for c in (1, 2)
    ]
    nothing = StackedShrinking([{}] * 5, list(SHAPES), torch.device("cpu"))
    weights = [torch.zeros(5, *shape) for shape in SHAPES.values()]
    optimizer = stacked_optimizer(weights, [*alike, Recipe("adam", lr=0.2)], nothing)
    assert isinstance(optimizer, ByGroups)
    assert optimizer._spans == [slice(0, 4), slice(4, 5)]


def test_defaults_are_torchs():
    weight = torch.nn.Parameter(torch.ones(2))
    frozen = torch.nn.Parameter(torch.ones(2), requires_grad=False)
    for name, kind, lr in (
        ("sgd", torch.optim.SGD, 0.01),
        ("adam", torch.optim.Adam, 0.01),
        ("adamw", torch.optim.AdamW, 0.01),
    ):
        ours, theirs = Recipe(name).build([weight, frozen]), kind([weight], lr=lr)
        same = {k: v for k, v in theirs.param_groups[0].items() if k not in ("fused", "foreach")}
        assert type(ours) is kind
        assert {k: v for k, v in ours.param_groups[0].items() if k in same} == same
