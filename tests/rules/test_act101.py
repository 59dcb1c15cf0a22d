"""Networks for ACT101: units that never fire."""

import torch
from torch import Tensor, nn

from normwise.rules import check

ROWS = torch.randn(256, 8), torch.randint(0, 4, (256,))


def rows(activation: nn.Module, bias: float, units: int) -> nn.Module:
    net = nn.Sequential(nn.Linear(8, 20), activation, nn.Linear(20, 4))
    nn.init.constant_(net[0].bias[:units].detach(), bias)
    return net


class Functional(nn.Module):
    """A convolution whose activation is a function, and in place."""

    def __init__(self):
        super().__init__()
        self.layer, self.head = nn.Conv2d(3, 10, 3), nn.Linear(10, 4)
        nn.init.constant_(self.layer.bias, -100)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu_(self.layer(x)).mean((2, 3)))


def bad_most_units_driven_below_zero():
    return check(rows(nn.ReLU(), -100, 15), ROWS), "1"


def bad_in_place_function_of_a_convolution():
    return check(Functional(), (torch.randn(32, 3, 8, 8), torch.randint(0, 4, (32,)))), ":relu"


def bad_relu6():
    return check(rows(nn.ReLU6(), -100, 20), ROWS), "1"


def ok_fresh_network():
    return check(rows(nn.ReLU(), 0, 0), ROWS)


def near_a_few_dead_units():
    return check(rows(nn.ReLU(), -100, 9), ROWS)


def near_leaky_units_that_cannot_die():
    return check(rows(nn.LeakyReLU(), -100, 20), ROWS)


def near_most_elements_are_zero_but_no_unit_is():
    return check(rows(nn.ReLU(), -1.2, 20), ROWS)


def test_too_few_values_are_no_verdict():
    few = ROWS[0][:8], ROWS[1][:8]
    findings = check(rows(nn.ReLU(), -100, 20), few, steps=2)
    assert "fewer than 512 values" in findings.unanswered["ACT101"]


def test_share_and_units_are_counted():
    [finding] = check(rows(nn.ReLU(), -100, 15), ROWS, select="ACT101")
    assert finding.value == 15 / 20
    assert "15 of 20 units gave 0 for all of the last 2048 values" in finding.message
