"""Trainings for OPT104: steps too small to get anywhere."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import SGD, Adam

from normwise.rules import check, watch

X, Y = torch.randn(64, 8), torch.randint(0, 4, (64,))


def rows() -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))


def bad_rate_of_adam_in_sgd():
    net = rows()
    return check(net, (X, Y), optimizer=SGD(net.parameters(), 1e-5)), "SGD"


def bad_adam_on_images():
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)
    )
    batch = torch.randn(16, 3, 8, 8), torch.randint(0, 4, (16,))
    return check(net, batch, optimizer=Adam(net.parameters(), 1e-7)), "Adam"


def ok_usual_rate():
    net = rows()
    return check(net, (X, Y), optimizer=SGD(net.parameters(), 1e-2))


def near_small_rate_for_fine_tuning():
    net = rows()
    return check(net, (X, Y), optimizer=Adam(net.parameters(), 2e-5))


def near_warm_up_from_nothing():
    net = rows()
    optimizer = SGD(net.parameters(), 0.0)
    with watch(net, optimizer, every=1, select="OPT") as watching:
        for number in range(40):
            optimizer.param_groups[0]["lr"] = 1e-3 * number / 40
            optimizer.zero_grad()
            F.cross_entropy(net(X), Y).backward()
            optimizer.step()
    return watching.findings()


def near_one_group_that_hardly_moves():
    net = rows()
    groups = [{"params": net[0].parameters(), "lr": 1e-8}, {"params": net[2].parameters()}]
    return check(net, (X, Y), optimizer=SGD(groups, 1e-2))


def test_value_is_the_largest_relative_change():
    net = rows()
    weights = [net[0].weight.detach().clone(), net[2].weight.detach().clone()]
    [finding] = check(net, (X, Y), optimizer=Adam(net.parameters(), 1e-7), steps=8, select="OPT104")
    # Adam's first step changes each value by the learning rate.
    expected = max(1e-7 * w.numel() ** 0.5 / float(w.norm()) for w in weights)
    assert finding.value == pytest.approx(expected, rel=0.05)


def test_one_update_is_no_verdict():
    net = rows()
    findings = check(net, (X, Y), optimizer=SGD(net.parameters(), 1e-5), steps=4)
    assert "OPT104" in findings.unanswered
