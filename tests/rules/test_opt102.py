"""Trainings for OPT102: an optimizer that holds the parameters of another network."""

from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import SGD, Adam

from normwise.rules import check, watch

X, Y = torch.randn(64, 8), torch.randint(0, 4, (64,))


def rows() -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))


def bad_network_made_anew():
    optimizer = SGD(rows().parameters(), 0.1)
    return check(rows(), (X, Y), optimizer=optimizer), "SGD"


def bad_copy_is_trained():
    net = nn.Sequential(nn.Conv1d(1, 4, 3), nn.Flatten(), nn.Linear(24, 4))
    optimizer = Adam(net.parameters())
    net = deepcopy(net)
    with watch(net, optimizer, every=1, select="OPT") as watching:
        for _ in range(5):
            optimizer.zero_grad()
            F.cross_entropy(net(X[:, None]), Y).backward()
            optimizer.step()
    return watching.findings(), "Adam"


def ok_its_own_parameters():
    net = rows()
    return check(net, (X, Y), optimizer=SGD(net.parameters(), 0.1))


def near_another_network_besides():
    """Both halves are trained by one optimizer, and one of them is watched."""
    first, second = nn.Linear(8, 16), nn.Linear(16, 4)
    optimizer = SGD([*first.parameters(), *second.parameters()], 0.1)
    with watch(first, optimizer, every=1) as watching:
        for _ in range(5):
            optimizer.zero_grad()
            F.cross_entropy(second(first(X).relu()), Y).backward()
            optimizer.step()
    return watching.findings()


def near_copy_that_only_follows():
    net = rows()
    slow = deepcopy(net)
    optimizer = SGD(net.parameters(), 0.1)
    with watch(slow, optimizer, every=1) as watching:
        for _ in range(5):
            with torch.no_grad():
                goal = slow(X)
            optimizer.zero_grad()
            F.mse_loss(net(X), goal).backward()
            optimizer.step()
    findings = watching.findings()
    assert "OPT102" in findings.unanswered
    return check(net, (X, Y), optimizer=optimizer)
