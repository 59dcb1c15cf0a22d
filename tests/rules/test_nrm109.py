"""Networks for NRM109: weight decay where it has no use."""

import torch
from torch import nn
from torch.optim import SGD, AdamW

from normwise.rules import check, watch

ROWS = torch.randn(64, 8), torch.randint(0, 4, (64,))


def rows() -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, 16), nn.LayerNorm(16), nn.ReLU(), nn.Linear(16, 4))


def bad_all_in_one_group():
    net = rows()
    return check(net, ROWS, optimizer=AdamW(net.parameters(), weight_decay=0.1)), "AdamW"


def bad_biases_without_norms():
    net = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4))
    return check(net, ROWS, optimizer=SGD(net.parameters(), 0.1, weight_decay=1e-4)), "SGD"


def ok_no_decay():
    net = rows()
    return check(net, ROWS, optimizer=SGD(net.parameters(), 0.1))


def near_a_group_of_their_own():
    net = rows()
    groups = [
        {"params": [p for p in net.parameters() if p.ndim > 1]},
        {"params": [p for p in net.parameters() if p.ndim == 1], "weight_decay": 0},
    ]
    return check(net, ROWS, optimizer=AdamW(groups, weight_decay=0.1))


def near_frozen_norm_and_no_biases():
    net = rows()
    net[1].requires_grad_(False)
    net[0].bias = net[3].bias = None
    return check(net, ROWS, optimizer=AdamW(net.parameters(), weight_decay=0.1))


def test_parameters_are_counted():
    net = rows()
    [found] = check(
        net, ROWS, optimizer=SGD(net.parameters(), 0.1, weight_decay=0.02), select="NRM109"
    )
    assert found.value == 4  # two biases, and the norm's weight and bias
    assert "weight decay of 0.02 pulls 4 parameters" in found.message


def test_a_norm_that_is_watched_alone():
    norm = nn.BatchNorm1d(8)
    with watch(norm, SGD(norm.parameters(), 0.1, weight_decay=0.1), every=1) as watching:
        norm(ROWS[0])
    assert [f.value for f in watching.findings() if f.code == "NRM109"] == [2]


def test_without_an_optimizer_it_is_no_verdict():
    assert "no optimizer" in check(rows(), ROWS).unanswered["NRM109"]
