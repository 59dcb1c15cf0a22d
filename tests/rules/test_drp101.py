"""Networks for DRP101: dropout that shifts the variance which a batch norm sees."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD

from normwise.rules import Findings, check, watch

X, Y = torch.randn(256, 8), torch.randint(0, 4, (256,))
IMAGES = torch.randn(64, 3, 8, 8), torch.randint(0, 4, (64,))


def rows(*before: nn.Module) -> nn.Sequential:
    return nn.Sequential(
        *(nn.Linear(8, 32), nn.ReLU(), *before),
        *(nn.Linear(32, 16, bias=False), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 4)),
    )


class Images(nn.Module):
    """Convolutions with norms, and dropout as a function."""

    def __init__(self, p: float):
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, bias=False)
        self.second = nn.Conv2d(16, 16, 3, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(16) for _ in range(2))
        self.head, self.p = nn.Linear(16, 4), p

    def forward(self, x: Tensor) -> Tensor:
        x = self.norms[0](self.first(x)).relu()
        x = self.norms[1](self.second(F.dropout2d(x, self.p, self.training))).relu()
        return self.head(x.mean((2, 3)))


def trained(net: nn.Module, steps: int = 40) -> Findings:
    optimizer = SGD(net.parameters(), 0.01)
    with watch(net, optimizer, every=1, select="DRP101,NRM104") as watching:
        for _ in range(steps):
            optimizer.zero_grad()
            F.cross_entropy(net(IMAGES[0]), IMAGES[1]).backward()
            optimizer.step()
        net.eval()
        with torch.no_grad():
            net(IMAGES[0])
    return watching.findings()


def bad_directly_before():
    net = nn.Sequential(
        *(nn.Linear(8, 32), nn.ReLU(), nn.Dropout(0.5), nn.BatchNorm1d(32), nn.Linear(32, 4)),
    )
    return check(net, (X, Y)), "3"


def bad_before_a_layer():
    return check(rows(nn.Dropout(0.6)), (X, Y)), "4"


def bad_function_behind_another_norm():
    return trained(Images(0.5)), "norms.1"


def ok_dropout_behind_the_norm():
    net = nn.Sequential(
        *(nn.Linear(8, 32, bias=False), nn.BatchNorm1d(32), nn.ReLU()),
        *(nn.Dropout(0.5), nn.Linear(32, 4)),
    )
    return check(net, (X, Y))


def near_little_dropout():
    return check(rows(nn.Dropout(0.1)), (X, Y))


def near_dropout_of_zero():
    return check(rows(nn.Dropout(0.0)), (X, Y))


def near_layer_norm():
    net = rows(nn.Dropout(0.5))
    net[4] = nn.LayerNorm(16)
    return check(net, (X, Y))


def near_little_dropout_behind_another_norm():
    return trained(Images(0.05))


def near_frozen_norm():
    net = rows(nn.Dropout(0.5))
    net[4].eval()
    return check(net, (X, Y))


def test_norms_that_have_not_settled_are_no_verdict():
    findings = check(Images(0.5), IMAGES, select="DRP101")
    assert "settled" in findings.unanswered["DRP101"]


def test_shift_is_that_of_the_paper():
    """Values of mean zero vary by 1 / (1 - p) times as much."""
    net = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(64), nn.Linear(64, 4))
    batch = torch.randn(2000, 64), torch.randint(0, 4, (2000,))
    [found] = check(net, batch, select="DRP101")
    assert found.value == pytest.approx(2, rel=0.02)
    assert "p=0.5 in 0" in found.message
