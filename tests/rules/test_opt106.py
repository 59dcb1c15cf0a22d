"""Optimizers for OPT106: weight decay that Adam scales away."""

import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, NAdam, Optimizer

from normwise.rules import Findings, check

BATCH = torch.randn(64, 8), torch.randint(0, 4, (64,))


def decayed(make: type[Optimizer], decay: float, **options: bool) -> Findings:
    net = nn.Sequential(nn.Linear(8, 16, bias=False), nn.ReLU(), nn.Linear(16, 4, bias=False))
    optimizer = make(net.parameters(), lr=1e-3, weight_decay=decay, **options)
    return check(net, BATCH, optimizer=optimizer)


def bad_adam():
    return decayed(Adam, 0.01), "Adam"


def bad_nadam():
    return decayed(NAdam, 0.1), "NAdam"


def ok_adamw():
    return decayed(AdamW, 0.01)


def ok_without_decay():
    return decayed(Adam, 0.0)


def near_sgd_where_both_are_the_same():
    return decayed(SGD, 0.01)


def near_decoupled_on_demand():
    return decayed(NAdam, 0.01, decoupled_weight_decay=True)


def test_little_of_it_is_only_noted():
    [finding] = decayed(Adam, 5e-4)
    assert (finding.code, finding.level, finding.value) == ("OPT106", "info", 5e-4)
