"""Settings that do not fit the data."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch

from normwise.data import Data, Erase, Head, Noise, Rotate, Shift
from normwise.stack import Own, Recipe
from normwise.study.contradictions import contradictions

OWN = Own(lambda x, generator: x)


@pytest.mark.parametrize(
    ("recipe", "shape", "told"),
    [
        (Recipe(augment=(Rotate(9.0), Noise(1.0), Erase())), (6,), ["aug=rotate", "aug=erase"]),
        (Recipe(augment=(Shift(4),)), (1, 4, 8), ["aug=shift: images of 4 x 8 would be"]),
        (Recipe(augment=(Shift(3), Rotate(9.0), Erase(), Noise(0.1), OWN)), (1, 4, 8), []),
        (Recipe(augment=(OWN, Noise(0.1)), entropy=0.1), (6,), []),
    ],
)
def test_augmentations_that_do_not_fit_the_samples(recipe, shape, told):
    x = torch.zeros(3, *shape)
    data = SimpleNamespace(task="classes", heads={}, train=SimpleNamespace(x=x))
    problems = contradictions(recipe, data)
    assert len(problems) == len(told)
    assert all(p.startswith(t) for p, t in zip(problems, told, strict=True))


def test_a_regression_has_no_entropy(data: Callable[..., Data]):
    [problem] = contradictions(Recipe(entropy=0.25), data("regression"))
    assert problem.startswith("entropy=0.25: the entropy is that of predicted classes")
    assert contradictions(Recipe(entropy=0.25), data("classes")) == []


def test_one_head_of_classes_is_enough_for_an_entropy():
    train = SimpleNamespace(x=torch.zeros(3, 2))
    heads = {"a": Head("regression"), "b": Head("classes", 2)}
    both = Data("made", train, train, train, "heads", heads=heads)
    assert contradictions(Recipe(entropy=1.0), both) == []
    one = Data("made", train, train, train, "heads", heads={"a": heads["a"]})
    [problem] = contradictions(Recipe(entropy=1.0), one)
    assert problem.startswith("entropy=1")


def test_several_inputs_are_not_augmented():
    x = (torch.zeros(3, 2), torch.zeros(3, 2))
    data = SimpleNamespace(task="classes", heads={}, train=SimpleNamespace(x=x))
    [problem] = contradictions(Recipe(augment=(Rotate(1.0), OWN)), data)
    assert "inputs of one tensor" in problem
