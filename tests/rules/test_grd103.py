"""Trainings for GRD103: gradients that are infinite or not a number."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD

from normwise.rules import check, watch

X, Y = torch.randn(64, 8), torch.randint(0, 4, (64,))


class Rooted(nn.Module):
    """A root of a sum of squares, of which one is zero."""

    def __init__(self, small: float):
        super().__init__()
        self.first, self.head, self.small = nn.Linear(8, 6), nn.Linear(1, 4), small

    def forward(self, x: Tensor) -> Tensor:
        squares = F.relu(self.first(x)).square().sum(1, keepdim=True) * (x[:, :1] > 0)
        return self.head((squares + self.small).sqrt())


def bad_root_of_zero():
    net = Rooted(0.0)
    return check(net, (X, Y), optimizer=SGD(net.parameters(), 0.1), select="GRD103"), "first"


def bad_samples_that_are_not_numbers():
    broken = X.clone()
    broken[0, 0] = float("nan")
    net = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))
    return check(net, (broken, Y), select="GRD103"), "2"


def ok_root_of_something_positive():
    net = Rooted(1e-6)
    return check(net, (X, Y), optimizer=SGD(net.parameters(), 0.01), select="GRD103")


def near_overflow_that_a_scaler_leaves_out():
    net, scaler = nn.Linear(8, 4), torch.amp.GradScaler("cpu", init_scale=2.0**127)
    optimizer = SGD(net.parameters(), 0.1)
    with watch(net, optimizer, every=1, select="GRD103") as watching:
        for _ in range(8):
            optimizer.zero_grad()
            scaler.scale(100 * F.cross_entropy(net(X), Y)).backward()
            scaler.step(optimizer)
            scaler.update()
    assert scaler.get_scale() < 2.0**127
    return watching.findings()


def test_cause_and_step_are_named():
    net = nn.Linear(8, 1)
    optimizer = SGD(net.parameters(), 0.1)
    with watch(net, optimizer, every=1) as watching:
        for number in range(4):
            optimizer.zero_grad()
            value = F.mse_loss(net(X), X[:, :1])
            (value * (float("inf") if number == 2 else 1)).backward()
            optimizer.step()
    [finding] = [f for f in watching.findings() if f.code == "GRD103"]
    assert finding.step == 2
    assert finding.value == 2
    assert "the loss was not finite either" in finding.message
