import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from normwise.lab import ERRATA, Budget
from normwise.lab.claims.init_zero import InitZero


@pytest.fixture(scope="module")
def result(digits):
    return InitZero().run(0, digits, Budget(seeds=2, length=0.5))


def number(result, what: str, of: str) -> float:
    return result.number(what, of).estimate


def test_only_the_last_bias_learns_from_zero(result, digits):
    """What it can learn is the classes' frequency, so that its loss is no less than their entropy,
    and its answer is one class: the accuracy is that class's share, to the sample."""
    assert number(result, "largest weight", "zero") == 0
    shares = torch.bincount(digits.test.y).double() / len(digits.test)
    entropy = -(shares * shares.log()).sum().item()
    assert entropy - 1e-6 < number(result, "test loss", "zero") < math.log(10) + 0.01
    hits = number(result, "test accuracy", "zero") * len(digits.test) * 2  # of both seeds
    counts = torch.bincount(digits.test.y).tolist()
    assert any(hits == pytest.approx(a + b) for a in counts for b in counts)


def test_equal_units_stay_equal(result):
    assert number(result, "units apart", "constant") < 1e-4
    assert number(result, "units apart", "plain") > 0.5
    assert number(result, "test accuracy", "constant") < 0.5


def test_logistic_regression_learns_from_zero(result):
    assert number(result, "test accuracy", "logistic from zero") > 0.85
    gap = number(result, "test accuracy, zero − random", "logistic regression")
    zero, random = (
        number(result, "test accuracy", of) for of in ("logistic from zero", "logistic")
    )
    assert gap == pytest.approx(zero - random)


def test_the_gradients_of_zero_weights():
    """By hand: dW₂ = δhᵀ with h = 0, dW₁ = (W₂ᵀδ·f′)xᵀ with W₂ = 0; db₂ = δ is not zero."""
    net = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))
    for parameter in net.parameters():
        nn.init.zeros_(parameter)
    y = torch.tensor([0, 2, 2, 1, 2, 2])
    F.cross_entropy(net(torch.randn(6, 5)), y).backward()
    *zero, last = [parameter.grad for parameter in net.parameters()]
    assert all((gradient == 0).all() for gradient in zero)
    assert torch.allclose(last, torch.full((3,), 1 / 3) - torch.tensor([1, 1, 4]) / 6)


def test_erratum_12_averages_divide_by_their_own_split():
    """1150 training and 360 test samples in batches of 64: means of means and the other's length
    both miss the mean over the samples."""
    correct = np.arange(360) % 3 == 0
    correct[320:] = True  # the last batch, which is smaller, is all right
    batches = np.split(correct, range(64, 360, 64))
    exact = sum(batch.sum() for batch in batches) / sum(map(len, batches))
    assert exact == correct.mean()
    of_means = np.mean([batch.mean() for batch in batches])
    assert abs(of_means - exact) > 0.02
    assert correct.sum() / 1150 == pytest.approx(exact * 360 / 1150)  # the training set's length
    assert "size of the split" in ERRATA[12].right
