"""Networks for INI101: units that began alike and stay alike."""

import torch
from torch import nn
from torch.optim import SGD, Adam

from normwise.rules import Findings, check

ROWS = torch.randn(64, 8), torch.randint(0, 4, (64,))
IMAGES = torch.randn(64, 3, 8, 8), torch.randint(0, 4, (64,))


def rows() -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4))


def images() -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)),
    )


def constant(net: nn.Sequential, value: float, *layers: int) -> nn.Sequential:
    for layer in layers:
        nn.init.constant_(net[layer].weight, value)
        nn.init.zeros_(net[layer].bias)
    return net


def stepped(net: nn.Module, batch: tuple[torch.Tensor, torch.Tensor], **options: str) -> Findings:
    return check(net, batch, optimizer=SGD(net.parameters(), 0.1), **options)


def bad_the_same_weights_everywhere():
    return stepped(constant(rows(), 0.1, 0, 2), ROWS, select="INI"), "0"


def bad_convolution_of_the_same_weights():
    net = constant(images(), 0.1, 0, 4)
    return check(net, IMAGES, optimizer=Adam(net.parameters()), select="INI"), "0"


def bad_zeros_everywhere():
    return stepped(constant(rows(), 0.0, 0, 2), ROWS, select="INI"), "0"


def ok_random():
    return stepped(rows(), ROWS)


def near_last_layer_of_zeros():
    return stepped(constant(rows(), 0.0, 2), ROWS)


def near_last_layer_of_zeros_with_classes_that_never_come():
    net = nn.Sequential(*rows()[:2], nn.Linear(16, 12))
    return stepped(constant(net, 0.0, 2), ROWS)


def near_one_constant_layer_among_random_ones():
    return stepped(constant(rows(), 0.1, 0), ROWS)


def near_zero_initialised_branch():
    net = nn.Sequential(*rows()[:2], nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 4))
    return stepped(constant(net, 0.0, 2), ROWS, select="INI")


def near_frozen_constant_filter():
    net = constant(images(), 0.1, 0)
    net[0].requires_grad_(False)
    return check(net, IMAGES, optimizer=SGD(net[4].parameters(), 0.1))


def near_most_units_pruned():
    net = rows()
    with torch.no_grad():
        net[0].weight[:12], net[0].bias[:12], net[2].weight[:, :12] = 0, 0, 0
    return stepped(net, ROWS)


def test_share_is_counted():
    net = constant(rows(), 0.1, 0, 2)
    with torch.no_grad():
        net[0].weight[:4] = torch.randn(4, 8)
    [found] = stepped(net, ROWS, select="INI101")
    assert found.value == 12 / 16


def test_a_learning_rate_of_zero_is_no_fault():
    net = constant(rows(), 0.1, 0)
    findings = check(net, ROWS, optimizer=SGD(net.parameters(), 0.0), select="INI101")
    assert findings.clean == ["INI101"]


def test_few_steps_are_no_verdict():
    net = rows()
    findings = check(net, ROWS, optimizer=SGD(net.parameters(), 0.1), steps=2)
    assert "fewer than 4 steps" in findings.unanswered["INI101"]
