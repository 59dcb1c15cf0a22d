import pytest
import torch
import torch.nn.functional as F
from torch import nn

from normwise.lab import Budget
from normwise.lab.batches import first_batch
from normwise.lab.claims.bn_sigmoid import BnSigmoid, _gradients


@pytest.fixture(scope="module")
def result(digits):
    """One seed, so that the figure shows the run itself."""
    return BnSigmoid().run(0, digits, Budget(1, 0.1))


def test_gradients_vanish_without_batch_norm(result):
    gradients = result.figures[1].table.set_index(["series", "x"])["y"]
    assert gradients.index.get_level_values("x").max() == 21
    assert gradients["plain", 21] / gradients["plain", 1] > 1e6
    assert gradients["batch", 21] / gradients["batch", 1] < 1e3


def test_batch_norm_learns_more_at_every_depth(result):
    for depth in (5, 10, 20):
        of = f"{depth} hidden layers"
        without = result.number("test accuracy, plain", of).estimate
        assert without < 0.3
        assert result.number("test accuracy, batch", of).estimate > without + 0.1
    assert result.verdict == "inconclusive"  # a single run


def test_gradients_by_autograd_by_hand(digits):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 7), nn.Sigmoid(), nn.Linear(7, 10))
    found = _gradients(network, first_batch(digits, 256))
    x, y = digits.train.x[:256].flatten(1), digits.train.y[:256]
    hidden = (x @ network[1].weight.T + network[1].bias).sigmoid()
    error = (hidden @ network[3].weight.T + network[3].bias).softmax(1) - F.one_hot(y, 10)
    last = error.T @ hidden / 256
    first = ((error @ network[3].weight) * hidden * (1 - hidden)).T @ x / 256
    assert found["2"] == pytest.approx(last.square().mean().sqrt().item(), rel=1e-5)
    assert found["1"] == pytest.approx(first.square().mean().sqrt().item(), rel=1e-5)
