"""Augmented batches: every run as alone, whoever shares the stack."""

from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator, Tensor, nn

from normwise.data import Erase, Noise, Rotate, Shift
from normwise.errors import UsageError
from normwise.stack import Alone, Augmenter, Budget, Objective, Own, Recipe, Stacked, derive
from normwise.stack.augmenting import Steps

OBJECTIVE, CPU = Objective("classes"), torch.device("cpu")
IMAGE = (1, 5, 5)


def flip(x: Tensor, generator: Generator) -> Tensor:
    chosen = torch.rand(len(x), generator=generator) < 0.5
    return torch.where(chosen.view(-1, 1, 1, 1), x.flip(-1), x)


STEPS: dict[str, Steps] = {
    "none": (),
    "noise": (Noise(0.1),),
    "more noise": (Noise(0.5),),
    "shift": (Shift(1),),
    "both": (Shift(1), Noise(0.2)),
    "both the other way": (Noise(0.2), Shift(1)),
    "all": (Rotate(20), Shift(2), Erase(), Noise(0.05)),
    "own": (Own(flip), Noise(0.1)),
}


def by_hand(steps: Steps, x: Tensor, seed: int, batches: int) -> list[Tensor]:
    """What a run alone makes of the same batch, again and again."""
    generator, seen = Generator().manual_seed(derive(seed, "augment")), []
    for _ in range(batches):
        changed = x
        for step in steps:
            if isinstance(step, Own):
                changed = step.function(changed, generator)
            else:
                changed = step.apply(changed, step.draw(changed, generator))
        seen.append(changed)
    return seen


@settings(max_examples=30, deadline=None)
@given(
    chosen=st.lists(st.tuples(st.sampled_from(list(STEPS)), st.integers(0, 3)), min_size=1),
    draw=st.data(),
)
def test_every_batch_is_changed_as_alone(chosen: list[tuple[str, int]], draw: st.DataObject):
    steps, seeds = [STEPS[name] for name, _ in chosen], [seed for _, seed in chosen]
    x = torch.randn(len(chosen), 4, *IMAGE, dtype=torch.float64)
    expected = [by_hand(s, b, seed, 3) for s, b, seed in zip(steps, x, seeds, strict=True)]
    augmenter, left = Augmenter(steps, seeds, CPU), list(range(len(chosen)))
    for moment in range(3):
        changed = augmenter(x[left])
        for place, batch in enumerate(left):
            torch.testing.assert_close(
                changed[place], expected[batch][moment], rtol=1e-13, atol=1e-13
            )
        kept = draw.draw(st.lists(st.integers(0, len(left) - 1), min_size=1, max_size=4))
        augmenter, left = augmenter.of(kept), [left[place] for place in kept]


def test_without_changes_the_batch_is_not_copied():
    x = torch.zeros(2, 4, 3)
    assert Augmenter([(), ()], [0, 1], CPU)(x) is x


def network(seed: int, tools: Any) -> nn.Module:
    return tools.built(lambda: nn.Sequential(nn.Flatten(), nn.Linear(25, 3)), seed)


def test_augmentations_differ_between_the_runs_of_a_stack(tools: Any):
    recipes = [Recipe(lr=0.05, augment=steps) for steps in STEPS.values()]
    tools.agree(partial(network, tools=tools), recipes, tools.make_data(IMAGE))


SHARED = Recipe(lr=0.05, augment=STEPS["both"]), Recipe(lr=0.2, augment=STEPS["both"])
OTHER = Recipe(lr=0.05, augment=STEPS["more noise"])


@pytest.mark.parametrize(
    ("recipes", "seeds", "batches", "kept", "then"),
    [
        ([SHARED[0]] * 2 + [SHARED[1]] * 2, [0, 1, 0, 1], 2, [0, 1, 2], 3),
        ([SHARED[0]] * 2 + [OTHER] * 2, [0, 1, 0, 1], 4, [0, 1], 2),
        ([SHARED[0], SHARED[1], OTHER, OTHER], [7, 7, 7, 7], 4, [1, 2, 3], 3),
        ([SHARED[0], SHARED[1]] * 2, [7, 7, 7, 7], 1, [0, 2, 3], 1),
    ],
)
def test_runs_share_a_batch_where_seed_and_augmentation_agree(
    recipes: list[Recipe],
    seeds: list[int],
    batches: int,
    kept: list[int],
    then: int,
    tools: Any,
):
    data = tools.make_data(IMAGE)
    networks = [network(place, tools) for place in range(4)]
    stack: Stacked = tools.stack_of(networks, recipes, data, OBJECTIVE, 16, seeds)
    alone = [Alone(n, r, OBJECTIVE, s) for n, r, s in zip(networks, recipes, seeds, strict=True)]
    left = list(range(4))
    assert stack.batches == batches
    for x, y in tools.batches(data, Budget(8, 16, 8), 0):
        # The data order is another matter: here all see the same samples.
        losses = stack.step(*(t.expand(stack.batches, *t.shape) for t in (x, y)))
        theirs = torch.cat([alone[run].step(x[None], y[None]) for run in left])
        torch.testing.assert_close(losses, theirs, rtol=1e-11, atol=1e-13)
        if len(left) == 4:
            left = kept
            stack.keep(kept)
            assert stack.batches == then


def test_what_is_augmented_does_not_depend_on_the_masks(tools: Any):
    """A dropout more leaves the augmentation as it is, as it leaves the order."""
    seen: list[Tensor] = []

    class Looking(nn.Module):
        def __init__(self, p: float) -> None:
            super().__init__()
            self.drop, self.linear = nn.Dropout(p), nn.Linear(25, 3)

        def forward(self, x: Tensor) -> Tensor:
            seen.append(x.clone())
            return self.linear(self.drop(x.flatten(1)))

    data = tools.make_data(IMAGE)
    for p in (0.0, 0.5):
        stack = Alone(tools.built(lambda p=p: Looking(p), 0), SHARED[0], OBJECTIVE, 3)
        for x, y in tools.batches(data, Budget(3, 16, 3), 0):
            stack.step(x[None], y[None])
    assert all(torch.equal(a, b) for a, b in zip(seen[:3], seen[3:], strict=True))
    assert not torch.equal(seen[0], data.train.x[:16])


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (lambda x, g: x[:1], r"returned \(1, 3\) float32 for a batch of \(2, 3\) float32"),
        (lambda x, g: x.double(), r"returned \(2, 3\) float64 for a batch of \(2, 3\) float32"),
        (lambda x, g: None, "returned NoneType for a batch"),
    ],
)
def test_what_is_no_batch_is_told(function: Any, told: str):
    with pytest.raises(UsageError, match=told):
        Own(function)(torch.zeros(2, 3), Generator())


def test_own_changes_are_told_by_their_name_alone():
    assert repr(Own(flip)) == str(Own(flip)) == "flip"
