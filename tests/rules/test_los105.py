"""Networks for LOS105: a first loss far above that of a guess."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD

from normwise.rules import check, watch

X, Y = torch.randn(64, 8), torch.randint(0, 4, (64,))


class Computing(nn.Module):
    """A network that computes its loss."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return F.cross_entropy(self.net(x), Y)


class Model(nn.Module):
    def __init__(self, net: nn.Module):
        super().__init__()
        self.all = Computing(net)

    def forward(self, x: Tensor) -> Tensor:
        return self.all(x)


def loss_of_output(output: Tensor, _target: Tensor) -> Tensor:
    return output


def rows(scale: float = 1.0) -> nn.Sequential:
    net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    net[2].weight.data *= scale
    return net


def bad_large_last_layer():
    return check(Model(rows(50)), (X, Y), loss_of_output, select="LOS"), "all"


def bad_large_inputs():
    net = Model(nn.Sequential(nn.Linear(8, 4)))
    return check(net, (200 * X, Y), loss_of_output, select="LOS"), "all"


def ok_default_weights():
    return check(rows(), (X, Y))


def near_twice_the_logits():
    return check(rows(4), (X, Y))


def near_trained_before():
    net = rows()
    optimizer = SGD(net.parameters(), 0.5)
    for _ in range(50):
        optimizer.zero_grad()
        F.cross_entropy(net(X), Y).backward()
        optimizer.step()
    return check(net, (X, Y), select="LOS105")


def near_summed_over_the_batch():
    def loss(output: Tensor, target: Tensor) -> Tensor:
        total = F.cross_entropy(output, target, reduction="sum")
        return total + F.cross_entropy(output, target)

    return check(rows(), (X, Y), loss, select="LOS105")


def test_values_are_the_first_loss_and_chance():
    net = rows(50)
    [finding] = check(net, (X, Y), select="LOS105")
    assert finding.value == pytest.approx(float(F.cross_entropy(net(X), Y)), rel=1e-5)
    assert finding.threshold == pytest.approx(2 * math.log(4))


def test_a_training_watched_from_its_middle_is_no_verdict():
    net = rows(50)
    optimizer = SGD(net.parameters(), 0.01)
    with watch(net, optimizer, every=1) as watching:
        for number in range(4):
            optimizer.zero_grad()
            output = net(X)
            (output.square().mean() if number < 2 else F.cross_entropy(output, Y)).backward()
            optimizer.step()
    assert "LOS105" in watching.findings().unanswered
