"""Trainings for NRM106: running statistics that take each batch twice."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Optimizer
from torch.utils.checkpoint import checkpoint

from normwise.rules import Findings, check, watch

BATCHES = [(torch.randn(64, 8), torch.randint(0, 4, (64,))) for _ in range(10)]
Step = Callable[[nn.Module, Optimizer, Tensor, Tensor], None]


def rows(norm: nn.Module | None = None) -> nn.Sequential:
    norm = norm or nn.BatchNorm1d(16)
    return nn.Sequential(nn.Linear(8, 16, bias=False), norm, nn.ReLU(), nn.Linear(16, 4))


class Checkpointed(nn.Module):
    """A network whose body is computed again in the backward pass."""

    def __init__(self, momentum: float | None = 0.1, *, reentrant: bool = False):
        super().__init__()
        self.body = rows(nn.BatchNorm1d(16, momentum=momentum))
        self.reentrant = reentrant

    def forward(self, x: Tensor) -> Tensor:
        return checkpoint(self.body, x.requires_grad_(), use_reentrant=self.reentrant)


def trained(step: Step, net: nn.Module | None = None) -> Findings:
    net = net or rows()
    optimizer = SGD(net.parameters(), lr=0.01)
    with watch(net, optimizer, every=1, select="NRM106") as watching:
        for x, y in BATCHES:
            step(net, optimizer, x, y)
    return watching.findings()


def once(net: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> None:
    optimizer.zero_grad()
    F.cross_entropy(net(x), y).backward()
    optimizer.step()


def bad_checkpointed():
    return check(Checkpointed(), BATCHES[0]), "body.1"


def bad_reentrant():
    return check(Checkpointed(reentrant=True), BATCHES[0]), "body.1"


def bad_second_pass_for_the_accuracy():
    def step(net: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> None:
        once(net, optimizer, x, y)
        _accuracy = (net(x).argmax(1) == y).float().mean()

    return trained(step), "1"


def bad_second_pass_without_gradients():
    def step(net: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> None:
        with torch.no_grad():
            net(x)
        once(net, optimizer, x, y)

    return trained(step), "1"


def ok_once():
    return trained(once)


def near_the_same_full_batch_at_each_step():
    x, y = BATCHES[0]
    return trained(lambda net, optimizer, _x, _y: once(net, optimizer, x, y))


def near_siamese():
    def step(net: nn.Module, optimizer: Optimizer, x: Tensor, _y: Tensor) -> None:
        optimizer.zero_grad()
        F.mse_loss(net(x), net(x + 0.1)).backward()
        optimizer.step()

    return trained(step)


def near_checkpointed_plain_average():
    return check(Checkpointed(momentum=None), BATCHES[0])


def near_second_pass_in_evaluation_mode():
    def step(net: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> None:
        once(net, optimizer, x, y)
        net.eval()
        with torch.no_grad():
            net(x)
        net.train()

    return trained(step)


def test_momentum_that_makes_up_for_it():
    [found] = check(Checkpointed(), BATCHES[0], select="NRM106")
    assert found.value == 2
    assert "momentum=0.0513" in found.advice
    kept = (1 - 0.0513) ** found.value
    assert kept == pytest.approx(1 - 0.1, rel=1e-3)
