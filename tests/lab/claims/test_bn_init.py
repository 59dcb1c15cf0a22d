import pytest
import torch
from torch import nn

import normwise as nw
from normwise.lab import Budget
from normwise.lab.claims.bn_init import BnInit, _scaled
from normwise.study import mlp


def test_weights_are_hes_times_the_scale(digits):
    torch.manual_seed(0)
    network = _scaled(mlp(digits, (400, 300)), 3.0)()
    layers = [layer for layer in network if isinstance(layer, nn.Linear)]
    for layer in layers:
        expected = 3 * (2 / layer.in_features) ** 0.5
        assert layer.weight.std().item() == pytest.approx(expected, rel=0.05)
        assert layer.bias.abs().max() == 0


def test_the_numbers_are_those_of_the_same_comparison(digits):
    result = BnInit().run(3, digits, Budget(1, 0.1))
    accuracy = {}
    for scale in (1.0, 10.0):
        make = _scaled(mlp(digits), scale)
        setting = {"seeds": [3], "epochs": 1, "batch_size": 64, "lr": 0.01, "stack": 1}
        frame = nw.compare(make, digits, ["plain", "batch"], **setting).frame()
        accuracy[scale] = frame.groupby("variant")["test_acc"].mean()["batch"]
    for scale, expected in accuracy.items():
        found = result.number("test accuracy, batch", f"scale {scale:g}").estimate
        assert found == pytest.approx(expected)
    change = result.number("change from scale 1, batch", "scale 10").estimate
    assert change == pytest.approx(accuracy[10.0] - accuracy[1.0])
    drawn = result.figures[0].table
    assert sorted(drawn["x"].unique()) == [0.01, 0.1, 0.3, 1, 3, 10]
    assert result.verdict == "inconclusive"


def test_a_step_moves_large_weights_less_in_proportion():
    """The formula: what batch norm sees of a step falls as one over the square of the scale."""
    torch.manual_seed(0)
    u, c = torch.randn(32, 5).double(), torch.randn(32, 4).double()
    weight = torch.randn(4, 5, dtype=torch.float64)
    norm = nn.BatchNorm1d(4, eps=1e-20).double()
    moved = {}
    for scale in (1.0, 10.0):
        scaled = (scale * weight).requires_grad_()
        (norm(u @ scaled.T) * c).sum().backward()
        assert scaled.grad is not None
        moved[scale] = (scaled.grad.norm() / scaled.norm()).item()
    assert moved[1.0] / moved[10.0] == pytest.approx(100)
