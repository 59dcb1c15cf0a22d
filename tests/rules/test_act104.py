"""Networks for ACT104: activations that grow from layer to layer."""

import pytest
import torch
from torch import Tensor, nn

from normwise.rules import check

ROWS = torch.randn(64, 16), torch.randint(0, 3, (64,))


def deep(std: float, depth: int = 10, norm: bool = False) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Linear(16, 16), *([nn.LayerNorm(16)] if norm else []), nn.ReLU()]
        nn.init.normal_(layers[-2 - norm].weight, std=std)
    return nn.Sequential(*layers, nn.Linear(16, 3))


class Residual(nn.Module):
    """Convolutions that each add to what they take."""

    def __init__(self, std: float):
        super().__init__()
        self.stem, self.head = nn.Conv2d(1, 8, 3), nn.Linear(8, 3)
        self.layers = nn.ModuleList(nn.Conv2d(8, 8, 3, padding=1) for _ in range(8))
        for layer in self.layers:
            nn.init.normal_(layer.weight, std=std)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for layer in self.layers:
            x = x + layer(torch.relu(x))
        return self.head(x.mean((2, 3)))


def bad_weights_of_unit_variance():
    return check(deep(1.0), ROWS, select="ACT"), "16"


def bad_residual_convolutions():
    images = torch.randn(16, 1, 8, 8), torch.randint(0, 3, (16,))
    return check(Residual(1.0), images, select="ACT"), "layers.4"


def ok_weights_that_keep_the_variance():
    return check(deep((2 / 16) ** 0.5), ROWS, select="ACT")


def near_norms_that_undo_it():
    return check(deep(100.0, norm=True), ROWS, select="ACT")


def near_large_outputs():
    net = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 1))
    net[2].weight.data *= 1e5
    return check(net, (ROWS[0], 1e4 * ROWS[0][:, :1]), select="ACT")


def near_growth_from_next_to_nothing():
    net = deep((2 / 16) ** 0.5)
    return check(net, (1e-6 * ROWS[0], ROWS[1]), select="ACT104")


def test_growth_is_the_ratio_of_root_mean_squares():
    net, x = deep(1.0), ROWS[0]
    [finding] = check(net, ROWS, steps=1, select="ACT104")
    depth = int(finding.where) + 1
    with torch.no_grad():
        sizes = [net[:d](x).square().mean().sqrt() for d in (1, depth)]
    assert finding.value == pytest.approx(float(sizes[1] / sizes[0]), rel=1e-4)
