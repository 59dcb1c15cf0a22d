"""Trainings for LOS106: a loss that stays where it began, at that of a guess."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam

from normwise.evidence import Evidence, Level, probe
from normwise.evidence.series import SeriesMeter
from normwise.rules import Findings, watch
from normwise.rules.los106 import LossDoesNotMove

X = torch.randn(256, 8)
Y = (X[:, 0] > 0).long() + (X[:, 1] > 0).long()
VALUE = X[:, :1] * 2


class Computing(nn.Module):
    """A network that computes its loss."""

    def __init__(self, loss: Callable[..., Tensor], outputs: int):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, outputs))
        self.loss = loss
        nn.init.zeros_(self.net[2].weight)  # so that it begins as a guess, no better by luck
        nn.init.zeros_(self.net[2].bias)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.loss(self.net(x), y)


def trained(
    loss: Callable[..., Tensor], y: Tensor, lr: float, kind: type = SGD, steps: int = 100
) -> Findings:
    model = nn.ModuleDict({"all": Computing(loss, 3 if loss is F.cross_entropy else 1)})
    optimizer = kind(model.parameters(), lr=lr)
    with watch(model, optimizer, every=1, select="LOS") as watching:
        for number in range(steps):
            rows = slice(51 * (number % 5), 51 * (number % 5) + 51)
            optimizer.zero_grad()
            model["all"](X[rows], y[rows]).backward()
            optimizer.step()
    return watching.findings()


def bad_tiny_steps():
    return trained(F.cross_entropy, Y, 1e-8), "all"


def bad_targets_that_do_not_belong_to_the_inputs():
    return trained(F.mse_loss, VALUE[torch.randperm(256)], 1e-5), "all"


def bad_binary_cross_entropy_that_stays():
    target = (X[:, :1] > 0).float()
    return trained(F.binary_cross_entropy_with_logits, target, 1e-8), "all"


def ok_learning():
    return trained(F.cross_entropy, Y, 0.1)


def ok_regression():
    return trained(F.mse_loss, VALUE, 0.05)


def near_learned_before_watching():
    """The loss stays, but far below that of a guess."""
    model = Computing(F.cross_entropy, 3)
    optimizer = Adam(model.parameters(), 0.02)
    for _ in range(200):
        optimizer.zero_grad()
        model(X, Y).backward()
        optimizer.step()
    optimizer.param_groups[0]["lr"] = 1e-6
    with watch(model, optimizer, every=1, select="LOS106") as watching:
        for _ in range(100):
            optimizer.zero_grad()
            model(X, Y).backward()
            optimizer.step()
    return watching.findings()


def near_slow_learning():
    return trained(F.cross_entropy, Y, 0.02)


def test_chance_is_the_entropy_of_the_classes():
    [finding] = trained(F.cross_entropy, Y, 1e-8)
    shares = np.bincount(Y) / len(Y)
    entropy = -(shares * np.log(shares)).sum()
    assert float(finding.message.rpartition(" ")[2]) == pytest.approx(entropy, abs=0.02)


def test_few_steps_are_no_verdict():
    assert "LOS106" in trained(F.cross_entropy, Y, 1e-8, steps=90).unanswered


def test_adversaries_are_no_verdict():
    nets = [nn.Linear(8, 3), nn.Linear(8, 3)]
    optimizers = [SGD(net.parameters(), 1e-8) for net in nets]
    with watch(dict(zip("ab", nets, strict=True)), optimizers, every=1) as watching:
        for _ in range(60):
            for net, optimizer in zip(nets, optimizers, strict=True):
                optimizer.zero_grad()
                F.cross_entropy(net(X), Y).backward()
                optimizer.step()
    assert "against each other" in watching.findings().unanswered["LOS106"]


@pytest.mark.parametrize(("last", "reported"), [(1.0, True), (0.8, True), (0.01, False)])
def test_rare_large_values_do_not_hide_that_most_fell(last: float, reported: bool):
    """As those of a critic, whose targets are mostly near 0."""
    value, target = SeriesMeter(), SeriesMeter()
    for step in range(200):
        value.add(step, torch.tensor(50.0 if step % 10 == 0 else 1.0 if step < 100 else last))
        target.add(step, torch.tensor(1.0))
    loss = probe(nn.Linear(8, 1), [(X, VALUE)], F.mse_loss).losses[0]
    loss = replace(loss, value=value.column(), target_var=target.column())
    found = list(LossDoesNotMove().check(Evidence(Level.TRAINING, losses=(loss,), steps=200)))
    assert bool(found) is reported
