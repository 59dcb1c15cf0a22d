import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from normwise.lab import Budget
from normwise.lab.claims.bn_bias import BnBias


@pytest.fixture(scope="module")
def result(digits):
    return BnBias().run(4, digits, Budget(seeds=2, length=0.2))


def test_the_numbers(result):
    growth, moved, known, output, gradient = (number.estimate for number in result.numbers)
    assert growth == pytest.approx(1, abs=1e-3)
    assert max(moved, known) < 1e-5
    assert max(output, gradient) < 1e-12


def test_the_bias_grows_by_the_same_gradient_every_step(result, digits):
    """|b| after t steps is t·η·|g|, with g the mean of softmax − label of the first step."""
    x, y = digits.train.x.flatten(1), digits.train.y
    expected = []
    for seed in (4, 5):
        torch.manual_seed(seed)
        u = x @ nn.Linear(64, 10).weight.detach().T
        probabilities = (u - u.mean(0)).softmax(1)
        g = (probabilities - F.one_hot(y, 10)).mean(0)
        expected.append(g.norm().item())
    table = result.figures[0].table
    drawn = table[(table["panel"] == "length of b") & (table["series"] == "mean as a constant")]
    np.testing.assert_allclose(drawn["y"], drawn["x"] * np.mean(expected), rtol=1e-3)
    assert drawn["x"].max() == 20
