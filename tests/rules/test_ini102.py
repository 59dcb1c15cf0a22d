"""Networks for INI102: initial weights that do not keep the signal's size."""

import pytest
import torch
from torch import Tensor, nn

from normwise.rules import check

ROWS = torch.randn(64, 16), torch.randint(0, 4, (64,))
IMAGES = torch.randn(16, 3, 8, 8), torch.randint(0, 4, (16,))


def deep(depth: int, activation: type[nn.Module], std: float | None = None) -> nn.Sequential:
    layers = [layer for _ in range(depth) for layer in (nn.Linear(16, 16), activation())]
    net = nn.Sequential(*layers, nn.Linear(16, 4))
    for layer in net[::2] if std else ():
        nn.init.normal_(layer.weight, std=std)
        nn.init.zeros_(layer.bias)
    return net


def convolutions(std: float) -> nn.Sequential:
    layers = [m for n in (3, 8, 8, 8) for m in (nn.Conv2d(n, 8, 3, padding=1), nn.ReLU())]
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
    nn.init.normal_(net[4].weight, std=std)
    nn.init.zeros_(net[4].bias)
    return net


class Residual(nn.Module):
    """Branches with small weights beside the identity."""

    def __init__(self, std: float):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(16, 16) for _ in range(6))
        self.head = nn.Linear(16, 4)
        for layer in self.layers:
            nn.init.normal_(layer.weight, std=std)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = x + layer(x).tanh()
        return self.head(x)


def bad_one_convolution_of_tiny_weights():
    return check(convolutions(1e-5), IMAGES, select="INI"), "4"


def bad_one_layer_of_huge_weights():
    net = deep(4, nn.ReLU)
    nn.init.normal_(net[4].weight, std=1e4)
    return check(net, ROWS, select="INI"), "4"


def bad_gradient_through_saturated_sigmoids():
    """The signal stays of one size, the gradient does not."""
    net = deep(5, nn.Sigmoid, 1 / 4)
    net[4].weight.data *= 1e-2
    net[6].weight.data *= 1e2
    return check(net, ROWS, select="INI"), "4"


def ok_default_of_four_layers():
    return check(deep(4, nn.ReLU), ROWS)


def ok_kaiming_of_twenty_layers():
    return check(deep(20, nn.ReLU, (2 / 16) ** 0.5), ROWS, select="INI")


def near_small_weights_beside_the_identity():
    return check(Residual(1e-3), ROWS)


def near_small_weights_before_norms():
    layers = [m for _ in range(6) for m in (nn.Linear(16, 16), nn.LayerNorm(16), nn.ReLU())]
    net = nn.Sequential(*layers, nn.Linear(16, 4))
    for layer in net[::3]:
        nn.init.normal_(layer.weight, std=1e-3)
    return check(net, ROWS, select="INI")


def near_last_layer_of_zeros():
    net = deep(4, nn.ReLU)
    nn.init.zeros_(net[8].weight)
    return check(net, ROWS, select="INI")


def test_change_is_that_of_the_outputs():
    net = deep(4, nn.ReLU, 1e-2)
    [found] = check(net, ROWS, select="INI102")
    with torch.no_grad():
        outputs = [net[:end](ROWS[0]) for end in (1, 7)]
    first, last = (out.var(0, correction=0).mean().sqrt().item() for out in outputs)
    assert found.value == pytest.approx(last / first, rel=1e-4)
    assert found.threshold == 1e-3
