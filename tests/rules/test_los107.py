"""Trainings for LOS107: a loss that grows without bound."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam

from normwise.rules import Findings, watch

X = torch.randn(64, 8)
Y = (X[:, 0] > 0).long() + (X[:, 1] > 0).long()


class Computing(nn.Module):
    """A network that computes its loss."""

    def __init__(self, loss: Callable[..., Tensor]):
        super().__init__()
        outputs = 3 if loss is F.cross_entropy else 1
        self.net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, outputs))
        self.loss = loss

    def forward(self, y: Tensor) -> Tensor:
        return self.loss(self.net(X), y)


def trained(
    loss: Callable[..., Tensor],
    y: Tensor,
    lr: float,
    steps: int = 12,
    kind: type = SGD,
    factor: Callable[[int], float] = lambda number: 1.0,
) -> Findings:
    model = nn.ModuleDict({"all": Computing(loss)})
    optimizer = kind(model.parameters(), lr=lr)
    with watch(model, optimizer, every=1, select="LOS") as watching:
        for number in range(steps):
            optimizer.zero_grad()
            (factor(number) * model["all"](y)).backward()
            optimizer.step()
    return watching.findings()


def bad_loss_that_becomes_no_number():
    return trained(F.mse_loss, X[:, :1], 5.0, 60), ""


def bad_regression_that_grows():
    return trained(F.mse_loss, X[:, :1], 0.05, 60, Adam, lambda number: -1.0), "all"


def bad_classifier_that_climbs():
    return trained(F.cross_entropy, Y, 0.1, 40, Adam, lambda number: -1.0), "all"


def ok_falling():
    return trained(F.cross_entropy, Y, 0.1)


def near_first_steps_too_large():
    """The loss jumps up once and recovers."""
    model = nn.ModuleDict({"all": Computing(F.cross_entropy)})
    optimizer = SGD(model.parameters(), 3.0)
    with watch(model, optimizer, every=1, select="LOS107") as watching:
        for number in range(60):
            optimizer.param_groups[0]["lr"] = 3.0 if number < 1 else 0.1
            optimizer.zero_grad()
            model["all"](Y).backward()
            optimizer.step()
    return watching.findings()


def near_weight_of_the_loss_that_grows():
    return trained(F.cross_entropy, Y, 0.01, 40, factor=lambda number: 1 + number)


def near_noisy_loss():
    return trained(F.mse_loss, 30 * X[:, :1], 1e-3, 40)


def test_step_of_the_end_is_named():
    def factor(number: int) -> float:
        return float("nan") if number >= 7 else 1.0

    [finding] = trained(F.mse_loss, X[:, :1], 0.01, 12, factor=factor)
    assert finding.step == 7


def test_one_loss_that_is_no_number_is_not_the_end():
    def factor(number: int) -> float:
        return float("inf") if number == 7 else 1.0

    model = Computing(F.mse_loss)
    with watch(model, every=1, select="LOS107") as watching:
        optimizer = SGD(model.parameters(), 0.01)
        for number in range(12):
            optimizer.zero_grad()
            (factor(number) * model(X[:, :1])).backward()
            if number != 7:
                optimizer.step()
    assert "LOS107" in watching.findings().clean


def test_few_losses_are_no_verdict():
    assert "LOS107" in trained(F.mse_loss, X[:, :1], 0.6, 7).unanswered
