import pytest
import torch
from torch import nn

from normwise.lab import Budget
from normwise.lab.claims.bn_lr import BnLr

STEPS, BEST = "steps, share of plain's", "best accuracy"


@pytest.fixture(scope="module")
def result(digits):
    """One seed, so that the figure shows the run itself."""
    return BnLr().run(3, digits, Budget(1, 0.25))


def test_the_table_says_what_the_curves_show(result):
    drawn = result.figures[0]
    curves = dict(iter(drawn.table.groupby("series", sort=False)))
    assert list(curves) == [
        *("plain", "batch", "batch+lr=5x", "batch+lr=30x", "batch+lr=5x+act=sigmoid"),
        *("lr=5x", "lr=30x"),
    ]
    best = curves["plain"]["y"].max()
    assert drawn.level == best

    def steps(curve):
        arrived = curve[(curve["y"] >= best) & (curve["x"] > 0)]["x"]
        return arrived.min() if len(arrived) else curve["x"].max()

    for name, curve in curves.items():
        assert result.number(BEST, name).estimate == curve["y"].max()
        expected = steps(curve) / steps(curves["plain"])
        assert result.number(STEPS, name).estimate == pytest.approx(expected)
    ratio = steps(curves["batch+lr=5x"]) / steps(curves["batch"])
    assert result.number("steps, share of batch's", "batch+lr=5x").estimate == ratio
    assert "Without batch norm" in result.notes[0]
    assert f"{curves['lr=30x']['y'].max():.3f} after" in result.notes[0]


def test_one_seed_decides_nothing(result):
    assert result.verdict == "inconclusive"


def test_the_scale_of_weights_before_batch_norm():
    """The formula: the output stays, the gradient falls as one over the scale."""
    torch.manual_seed(0)
    u, c = torch.randn(32, 5).double(), torch.randn(32, 4).double()
    weight = torch.randn(4, 5, dtype=torch.float64)
    norm = nn.BatchNorm1d(4, eps=1e-20).double()

    def pass_through(scale: float):
        scaled = (scale * weight).requires_grad_()
        y = norm(u @ scaled.T)
        (y * c).sum().backward()
        return y, scaled.grad

    (y, grad), (y7, grad7) = pass_through(1.0), pass_through(7.0)
    assert torch.allclose(y, y7)
    assert torch.allclose(grad / 7, grad7)
