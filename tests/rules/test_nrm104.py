"""Trainings for NRM104: running statistics that do not describe what the norm is given."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD

from normwise.rules import Findings, check, watch

X, Y = torch.randn(64, 8), torch.randint(0, 4, (64,))
IMAGES = torch.randn(64, 3, 8, 8), torch.randint(0, 4, (64,))


def rows(momentum: float | None = 0.1) -> nn.Sequential:
    norm = nn.BatchNorm1d(16, momentum=momentum)
    return nn.Sequential(nn.Linear(8, 16, bias=False), norm, nn.ReLU(), nn.Linear(16, 4))


def trained(net: nn.Module, steps: int, x: Tensor = X, **options: str) -> Findings:
    optimizer = SGD(net.parameters(), 0.01)
    with watch(net, optimizer, every=1, **options) as watching:
        for step in range(steps):
            order = torch.randperm(64, generator=torch.Generator().manual_seed(step))
            optimizer.zero_grad()
            F.cross_entropy(net(x[order]), Y[order]).backward()
            optimizer.step()
    return watching.findings()


def bad_tiny_momentum():
    net = rows(1e-4)
    nn.init.normal_(net[0].weight)
    return trained(net, 240), "1"


def bad_trained_on_other_data():
    net = nn.Sequential(
        *(nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)),
    )
    for _ in range(40):
        net(4 * IMAGES[0] + 1)
    return check(net, IMAGES), "1"


def ok_after_enough_steps():
    return trained(rows(), 64)


def ok_plain_average():
    return trained(rows(None), 40)


def near_small_momentum_that_has_arrived():
    return trained(rows(0.03), 150)


def near_data_that_are_somewhat_different():
    net = rows()
    for _ in range(40):
        net(1.5 * X)
    return check(net, (X, Y))


def test_a_fresh_network_is_no_verdict():
    assert "forget its initial statistics" in check(rows(), (X, Y)).unanswered["NRM104"]
    assert "NRM104" in trained(rows(), 10).unanswered


def test_distance_is_counted_in_standard_deviations_and_powers_of_two():
    net = nn.Sequential(nn.BatchNorm1d(8), nn.Linear(8, 4))
    with torch.no_grad():
        net[0].running_mean += X.mean(0) + 3 * X.var(0).sqrt()
        net[0].running_var.copy_(X.var(0))
        net[0].num_batches_tracked += 100
    [found] = check(net, (X, Y), steps=1, select="NRM104")
    assert found.value == pytest.approx(3, rel=0.02)
    with torch.no_grad():
        net[0].running_mean.copy_(X.mean(0))
        net[0].running_var.copy_(64 * X.var(0))
    [found] = check(net, (X, Y), steps=1, select="NRM104")
    assert found.value == pytest.approx(3, rel=0.02)
