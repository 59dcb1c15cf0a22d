"""Networks for LOS102: a softmax over another axis than the classes."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from normwise.rules import check

X, Y = torch.randn(64, 8), torch.randint(0, 4, (64,))


def net(*last: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4), *last)


class Pixels(nn.Module):
    """A class for each place of a sequence."""

    def __init__(self, axis: int):
        super().__init__()
        self.layer, self.axis = nn.Conv1d(3, 5, 1), axis

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x).log_softmax(self.axis)


class Attending(nn.Module):
    """A softmax over the samples' places, far from the loss."""

    def __init__(self):
        super().__init__()
        self.score, self.value, self.head = nn.Linear(4, 1), nn.Linear(4, 8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = x.view(len(x), 2, 4)
        weights = self.score(x).softmax(1)
        return self.head(torch.relu((weights * self.value(x)).sum(1)))


def bad_log_softmax_over_samples():
    return check(net(nn.LogSoftmax(0)), (X, Y), F.nll_loss, select="LOS"), "3"


def bad_log_softmax_over_places():
    batch = torch.randn(16, 3, 10), torch.randint(0, 5, (16, 10))
    return check(Pixels(2), batch, F.nll_loss, select="LOS102"), ""


def bad_softmax_over_samples_into_cross_entropy():
    return check(net(nn.Softmax(0)), (X, Y), select="LOS"), "3"


def ok_log_softmax():
    return check(net(nn.LogSoftmax(1)), (X, Y), F.nll_loss)


def near_log_softmax_over_places_of_their_own():
    batch = torch.randn(16, 3, 10), torch.randint(0, 5, (16, 10))
    return check(Pixels(1), batch, F.nll_loss)


def near_classes_that_are_moved_after_the_softmax():
    def rearranged(output: Tensor, target: Tensor) -> Tensor:
        return F.nll_loss(output[None].log_softmax(-1).transpose(1, 2), target[None])

    return check(net(), (X, Y), rearranged)


def near_attention_over_another_axis():
    return check(Attending(), (X, Y))


def test_softmax_in_the_loop_is_found_at_its_line():
    def loss(output: Tensor, target: Tensor) -> Tensor:
        return F.nll_loss(output.softmax(0).clamp(min=1e-9).log(), target)

    [finding] = check(net(), (X, Y), loss, select="LOS102")
    assert finding.where.rpartition(":")[0].endswith("test_los102.py")


def test_how_far_off_is_the_largest_deviation():
    network = net(nn.LogSoftmax(0))
    [finding] = check(network, (X, Y), F.nll_loss, steps=1, select="LOS102")
    expected = network(X).logsumexp(1).abs().max().item()
    assert finding.value == pytest.approx(expected, rel=1e-5)


def test_no_loss_of_classes_is_no_verdict():
    assert "no loss" in check(net(), (X, X[:, :4]), F.mse_loss).unanswered["LOS102"]
