"""Networks for NRM103: a momentum that means the opposite in torch."""

import pytest
import torch
from torch import nn

from normwise.rules import check

ROWS = torch.randn(64, 8), torch.randint(0, 4, (64,))
IMAGES = torch.randn(64, 3, 8, 8), torch.randint(0, 4, (64,))


def rows(**options: float | bool | None) -> nn.Sequential:
    norm = nn.BatchNorm1d(16, **options)
    return nn.Sequential(nn.Linear(8, 16, bias=False), norm, nn.ReLU(), nn.Linear(16, 4))


def bad_rows():
    return check(rows(momentum=0.99), ROWS), "1"


def bad_images():
    net = nn.Sequential(
        *(nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6, momentum=0.9), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)),
    )
    return check(net, IMAGES), "1"


def ok_default():
    return check(rows(), ROWS)


def near_plain_average():
    return check(rows(momentum=None), ROWS)


def near_the_last_batch_on_purpose():
    return check(rows(momentum=1.0), ROWS)


def near_half():
    return check(rows(momentum=0.5), ROWS)


def near_without_running_statistics():
    return check(rows(momentum=0.99, track_running_stats=False), ROWS, select="NRM")


def near_frozen():
    net = rows(momentum=0.99)
    net[1].eval()
    return check(net, ROWS)


def test_advice_turns_it_round():
    [found] = check(rows(momentum=0.99), ROWS, select="NRM103")
    assert "momentum=0.01" in found.advice
    assert found.value == pytest.approx(0.99)
