"""Networks for ACT102: units that stay in a flat end of their activation."""

import torch
from torch import Tensor, nn

from normwise.rules import check

ROWS = torch.randn(64, 8), torch.randint(0, 4, (64,))


def rows(activation: nn.Module, scale: float = 1.0) -> nn.Module:
    net = nn.Sequential(nn.Linear(8, 20), activation, nn.Linear(20, 4))
    net[0].weight.data *= scale
    net[0].bias.data += scale - 1
    return net


class Gated(nn.Module):
    """Gates that are decided, on a signal that is not."""

    def __init__(self):
        super().__init__()
        self.gate, self.layer, self.head = nn.Linear(8, 16), nn.Linear(8, 16), nn.Linear(16, 4)
        nn.init.constant_(self.gate.bias, 50)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.sigmoid(self.gate(x)) * torch.tanh(self.layer(x)))


class Convolving(nn.Module):
    """A function between convolutions, with a norm in between."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 6, 3), nn.GroupNorm(2, 6)
        self.second, self.head = nn.Conv2d(6, 6, 3), nn.Linear(6, 4)
        nn.init.constant_(self.first.bias, 40)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(torch.sigmoid(self.first(x)))
        return self.head(torch.relu(self.second(x)).mean((2, 3)))


def bad_tanh_of_large_weights():
    return check(rows(nn.Tanh(), 100), ROWS, select="ACT"), "1"


def bad_sigmoid_function_of_a_convolution():
    images = torch.randn(32, 3, 8, 8), torch.randint(0, 4, (32,))
    return check(Convolving(), images, select="ACT"), ":sigmoid"


def ok_tanh():
    return check(rows(nn.Tanh()), ROWS)


def near_outputs_that_are_decided():
    net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4), nn.Tanh())
    net[2].weight.data *= 100
    return check(net, (ROWS[0], torch.randn(64, 4).sign()), select="ACT")


def near_decided_gates():
    return check(Gated(), ROWS, select="ACT")


def near_some_units():
    net = rows(nn.Tanh())
    net[0].bias.data[:9] = 50
    return check(net, ROWS, select="ACT")


def test_share_is_counted():
    net = rows(nn.Sigmoid())
    net[0].bias.data[:12] = 50
    [finding] = check(net, ROWS, select="ACT102")
    assert finding.value == 12 / 20
    assert finding.message.startswith("60% of 20 units")


def test_too_few_values_are_no_verdict():
    few = ROWS[0][:8], ROWS[1][:8]
    assert "256 values" in check(rows(nn.Tanh(), 100), few, steps=2).unanswered["ACT102"]
