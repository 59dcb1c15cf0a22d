"""Losses for LOS104: a prediction and a target that do not pair up."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from normwise.rules import Findings, check

X, Y = torch.randn(64, 8), torch.randn(64)


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))


class Computing(nn.Module):
    """A network that computes its loss from a column of guesses."""

    def __init__(self, squeeze: bool):
        super().__init__()
        self.inner = net()
        self.squeeze = squeeze

    def forward(self, x: Tensor) -> Tensor:
        guess = self.inner(x)
        return F.l1_loss(guess.squeeze(1) if self.squeeze else guess, x.sum(1))


class Model(nn.Module):
    def __init__(self, squeeze: bool):
        super().__init__()
        self.all = Computing(squeeze)

    def forward(self, x: Tensor) -> Tensor:
        return self.all(x)


def loss_of_output(output: Tensor, _target: Tensor) -> Tensor:
    return output


def places(findings: Findings) -> list[str]:
    return [f.where.rpartition("/")[2].partition(":")[0] for f in findings if f.code == "LOS104"]


def bad_loss_inside_a_module():
    return check(Model(False), (X, Y), loss_of_output, select="LOS"), "all"


def test_mse_of_a_column_and_a_list():
    findings = check(net(), (X, Y), F.mse_loss, select="LOS104")
    assert len(findings) == 1
    assert "(64, 1) with a target of shape (64,)" in findings[0].message


def test_loss_written_by_hand():
    def loss(output: Tensor, target: Tensor) -> Tensor:
        return (output - target).square().mean()

    findings = check(net(), (X, Y), loss, select="LOS104")
    assert places(findings) == ["test_los104.py"]
    assert "sub of shapes (64, 1) and (64,)" in findings[0].message


def test_target_that_is_a_column():
    def loss(output: Tensor, target: Tensor) -> Tensor:
        return (target[:, None] - output.squeeze(1)).abs().mean()

    assert places(check(net(), (X, Y), loss, select="LOS104")) == ["test_los104.py"]


def test_accuracy():
    def loss(output: Tensor, target: Tensor) -> Tensor:
        assert ((output > 0) == (target > 0)).float().mean() >= 0
        return F.mse_loss(output.squeeze(1), target)

    findings = check(net(), (X, Y), loss, select="LOS104")
    assert places(findings) == ["test_los104.py"]
    assert "eq of shapes" in findings[0].message


def ok_columns():
    return check(net(), (X, X[:, :1]), F.mse_loss)


def ok_squeezed_inside_a_module():
    return check(Model(True), (X, Y), loss_of_output)


def near_scalar_target_for_each_row():
    return check(nn.Linear(8, 3), (X, X[:, :1]), F.mse_loss, select="LOS104")


def near_mask_of_equal_labels():
    def loss(output: Tensor, target: Tensor) -> Tensor:
        mask = target.unsqueeze(1) == target
        return (output @ output.T * mask).mean()

    return check(net(), (X, Y), loss, select="LOS104")


def near_ranking_of_all_pairs():
    def loss(output: Tensor, target: Tensor) -> Tensor:
        better, worse = output[:32, 0], output[32:, 0]
        return F.relu(1 - (better.unsqueeze(1) - worse)).mean()

    return check(net(), (X, Y), loss, select="LOS104")


def near_distances_by_sums_of_squares():
    centres = torch.randn(64, 1)

    def loss(output: Tensor, target: Tensor) -> Tensor:
        squares = output.square().sum(1, keepdim=True) + centres.square().sum(1)
        return (squares - 2 * output @ centres.T).amin(1).mean()

    return check(net(), (X, Y), loss, select="LOS104")
