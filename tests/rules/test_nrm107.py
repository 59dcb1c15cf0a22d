"""Networks for NRM107: one batch norm for unlike inputs."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD

from normwise.rules import check

X, Y = torch.randn(64, 8), torch.randint(0, 4, (64,))


class Twice(nn.Module):
    """Two layers with the same norm behind them."""

    def __init__(self, scale: float, norm: nn.Module | None = None):
        super().__init__()
        self.first, self.second = (nn.Linear(n, 16, bias=False) for n in (8, 16))
        self.norm, self.head = norm or nn.BatchNorm1d(16), nn.Linear(16, 4)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.first(x)).relu()
        return self.head(self.norm(self.scale * self.second(x)).relu())


class Recurrent(nn.Module):
    """One norm for all steps."""

    def __init__(self):
        super().__init__()
        self.entry, self.step = nn.Linear(8, 16), nn.Linear(16, 16)
        self.norm, self.head = nn.BatchNorm1d(16), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        state = self.entry(x)
        for _ in range(4):
            state = state + self.norm(self.step(state) * 2).relu()
        return self.head(state / 4)


class Siamese(nn.Module):
    """An encoder for two samples of the same kind."""

    def __init__(self):
        super().__init__()
        layers = nn.Linear(8, 16, bias=False), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 4)
        self.encoder = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.encoder(x) * self.encoder(0.1 - x)


def bad_two_layers():
    return check(Twice(3.0), (X, Y)), "norm"


def bad_recurrent():
    net = Recurrent()
    return check(net, (X, Y), optimizer=SGD(net.parameters(), 0.01)), "norm"


def ok_one_norm_per_place():
    layers = [
        layer
        for width in (8, 16)
        for layer in (nn.Linear(width, 16, bias=False), nn.BatchNorm1d(16), nn.ReLU())
    ]
    return check(nn.Sequential(*layers, nn.Linear(16, 4)), (X, Y))


def near_siamese():
    return check(Siamese(), (X, Y))


def near_layer_norm():
    return check(Twice(3.0, nn.LayerNorm(16)), (X, Y))


def near_batch_statistics_in_both_modes():
    net = Twice(3.0, nn.BatchNorm1d(16, track_running_stats=False))
    return check(net, (X, Y), select="NRM")


def test_difference_is_that_of_the_first_call_and_the_others():
    class Given(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(8)

        def forward(self, x: Tensor) -> Tensor:
            return self.norm(x) + self.norm(8 * x) + self.norm(8 * x)

    [found] = check(Given(), (X, X), loss=F.mse_loss, select="NRM107")
    assert found.value == pytest.approx(3, rel=1e-3)
    assert "3 times per pass" in found.message


def test_means_differ_in_standard_deviations():
    class Given(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(8)

        def forward(self, x: Tensor) -> Tensor:
            return self.norm(x + 2) + self.norm(x - 2) + self.norm(x - 2)

    standardised = (X - X.mean(0)) / X.std(0, correction=0)
    [found] = check(Given(), (standardised, X), loss=F.mse_loss, select="NRM107")
    assert found.value == pytest.approx(4, rel=1e-3)
