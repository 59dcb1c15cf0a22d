"""Trainings for OPT105: steps that throw the weights about."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import SGD, Adam

from normwise.rules import check, watch

X, Y = torch.randn(64, 8), torch.randint(0, 4, (64,))


def rows() -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))


def bad_adam_with_a_rate_of_one():
    net = rows()
    return check(net, (X, Y), optimizer=Adam(net.parameters(), 1.0), select="OPT"), "Adam"


def bad_sgd_on_images():
    net = nn.Sequential(
        *(nn.Conv2d(3, 6, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        nn.Linear(6, 4, bias=False),
    )
    batch = torch.randn(16, 3, 8, 8), torch.randint(0, 4, (16,))
    return check(net, batch, optimizer=SGD(net.parameters(), 50.0), select="OPT"), "SGD"


def bad_adam_whose_weights_outgrow_its_steps():
    """By the end, its steps are small relative to what the weights have become."""
    net = rows()
    optimizer = Adam(net.parameters(), 0.5)
    with watch(net, optimizer, every=1, select="OPT") as watching:
        for _ in range(60):
            optimizer.zero_grad()
            F.cross_entropy(net(X), Y).backward()
            optimizer.step()
    return watching.findings(), "Adam"


def ok_usual_rate():
    net = rows()
    return check(net, (X, Y), optimizer=Adam(net.parameters(), 1e-3))


def near_high_rate():
    net = rows()
    return check(net, (X, Y), optimizer=SGD(net.parameters(), 0.5))


def near_head_that_begins_at_zero():
    net = rows()
    nn.init.zeros_(net[2].weight)
    return check(net, (X, Y), optimizer=Adam(net.parameters(), 1e-3), select="OPT")


def near_large_first_steps():
    net = rows()
    optimizer = Adam(net.parameters(), 0.05)
    with watch(net, optimizer, every=1, select="OPT") as watching:
        for number in range(60):
            optimizer.param_groups[0]["lr"] = 0.05 if number < 5 else 1e-3
            optimizer.zero_grad()
            F.cross_entropy(net(X), Y).backward()
            optimizer.step()
    return watching.findings()
