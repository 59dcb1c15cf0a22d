"""Networks for ACT105: activations that no longer vary with the input."""

import pytest
import torch
from torch import Tensor, nn

from normwise.rules import check

ROWS = torch.randn(64, 16), torch.randint(0, 3, (64,))


def deep(depth: int, activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    layers = [m for _ in range(depth) for m in (nn.Linear(16, 16), activation())]
    return nn.Sequential(*layers, nn.Linear(16, 3))


class Fixup(nn.Module):
    """Branches that give nothing at first, besides what goes past them."""

    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Linear(16, 16), nn.Linear(16, 3)
        self.inner = nn.ModuleList(nn.Linear(16, 16) for _ in range(3))
        self.outer = nn.ModuleList(nn.Linear(16, 16) for _ in range(3))
        for layer in self.outer:
            nn.init.normal_(layer.weight, std=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for inner, outer in zip(self.inner, self.outer, strict=True):
            x = x + outer(torch.relu(inner(x)))
        return self.head(x)


def bad_deep_relus():
    return check(deep(14), ROWS, select="ACT105"), "16"


def bad_convolutions_of_small_weights():
    layers = [m for _ in range(4) for m in (nn.Conv1d(4, 4, 3), nn.Tanh())]
    net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(32, 3))
    for layer in net[:8:2]:
        layer.weight.data *= 0.05
    return check(net, (torch.randn(32, 4, 16), ROWS[1][:32]), select="ACT"), "4"


def ok_shallow():
    return check(deep(3), ROWS, select="ACT")


def near_residual_branches_that_begin_at_zero():
    return check(Fixup(), ROWS, select="ACT")


def near_small_weights_before_norms():
    net = nn.Sequential(
        *(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16), nn.LayerNorm(16, eps=1e-12)),
        *(nn.ReLU(), nn.Linear(16, 3)),
    )
    nn.init.normal_(net[2].weight, std=1e-5)
    nn.init.zeros_(net[2].bias)
    return check(net, ROWS, select="ACT")


def near_small_outputs():
    net = deep(2)
    nn.init.normal_(net[-1].weight, std=1e-6)
    return check(net, ROWS, select="ACT")


def test_share_is_the_ratio_of_deviations():
    net = deep(14)
    [finding] = check(net, ROWS, steps=1, select="ACT105")
    depth = int(finding.where) + 1
    with torch.no_grad():
        first, last = (net[:d](ROWS[0]).var(0, correction=0).mean().sqrt() for d in (1, depth))
    assert finding.value == pytest.approx(float(last / first), rel=1e-3)
