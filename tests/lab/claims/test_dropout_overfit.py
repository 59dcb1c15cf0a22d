import pytest
import torch
from torch import nn

from normwise.lab import Budget
from normwise.lab.claims.dropout_overfit import DropoutOverfit, _fit, _points

GAIN = "test loss − plain's"


@pytest.fixture(scope="module")
def result(digits):
    """One draw of the points, over all 1000 epochs."""
    return DropoutOverfit().run(0, digits, Budget(1, 1.0))


def test_dropout_ends_below_the_plain_network(result):
    loss = {number.of: number.estimate for number in result.numbers if number.what == "test loss"}
    assert loss["plain"] > 1.2 * loss["dropout=0.5"]
    assert loss["plain"] > 1.1 * loss["dropout=0.2"]
    for name in ("dropout=0.5", "dropout=0.2"):
        assert loss[name] > 0.09  # the noise
        assert result.number(GAIN, name).estimate == pytest.approx(loss[name] - loss["plain"])
    assert result.verdict == "inconclusive"  # a single draw


def test_the_plain_networks_loss_rises(result):
    curves = result.figures[0].table.query("series == 'plain'")
    lowest, final = curves["y"].min(), curves["y"].iloc[-1]
    rise = result.number("lowest − final loss", "plain").estimate
    assert rise == pytest.approx(lowest - final)
    assert final > 1.2 * lowest


def test_the_curves_are_of_several_epochs_and_the_points_of_the_first_seed(result):
    drawn = result.figures[1]
    assert drawn.table["panel"].unique().tolist() == ["epoch 50", "epoch 200", "epoch 1000"]
    points = _points(0).train
    assert torch.equal(torch.tensor(drawn.points["y"].to_numpy()), points.y.flatten())
    error = points.y - points.x
    assert len(points) == 50
    assert error.std().item() == pytest.approx(0.3, abs=0.1)
    plain = drawn.table.query("series == 'plain' and panel == 'epoch 1000'")
    bent = (plain["y"] - plain["x"]).abs().max()
    straight = drawn.table.query("series == 'dropout=0.5' and panel == 'epoch 1000'")
    assert (straight["y"] - straight["x"]).abs().max() < bent


def test_the_fit_is_the_networks_own():
    network = nn.Linear(1, 1)
    fit = _fit(network)
    assert len(fit) == 81
    for x in (-1.0, 0.25, 0.5):
        expected = network(torch.tensor([x])).item()
        assert fit[f"{x:.3f}"] == pytest.approx(expected, rel=1e-6)
