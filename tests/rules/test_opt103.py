"""Training loops for OPT103: gradients of earlier steps that were never cleared."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import SGD, Adam, Optimizer

from normwise.rules import Findings, watch

X, Y = torch.randn(64, 8), torch.randint(0, 4, (64,))


def trained(step: Callable[[nn.Module, Optimizer], None], kind: type[Optimizer] = SGD) -> Findings:
    net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    optimizer = kind(net.parameters(), lr=0.01)
    with watch(net, optimizer, every=1, select="OPT103") as watching:
        for _ in range(10):
            step(net, optimizer)
    return watching.findings()


def backward(net: nn.Module) -> None:
    F.cross_entropy(net(X), Y).backward()


def bad_no_zero_grad():
    def step(net: nn.Module, optimizer: Optimizer) -> None:
        backward(net)
        optimizer.step()

    return trained(step), "SGD"


def bad_gradient_set_aside_but_not_cleared():
    def step(net: nn.Module, optimizer: Optimizer) -> None:
        backward(net)
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        net.eval()
        net(X)
        net.train()

    return trained(step, Adam), "Adam"


def ok_cleared_before():
    def step(net: nn.Module, optimizer: Optimizer) -> None:
        optimizer.zero_grad()
        backward(net)
        optimizer.step()

    return trained(step)


def ok_filled_with_zeros_after():
    def step(net: nn.Module, optimizer: Optimizer) -> None:
        backward(net)
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)

    return trained(step)


def ok_between_forward_and_backward():
    def step(net: nn.Module, optimizer: Optimizer) -> None:
        loss = F.cross_entropy(net(X), Y)
        net.zero_grad()
        loss.backward()
        optimizer.step()

    return trained(step)


def near_accumulation():
    def step(net: nn.Module, optimizer: Optimizer) -> None:
        for _ in range(4):
            backward(net)
        optimizer.step()
        optimizer.zero_grad()

    return trained(step)


def near_adversary():
    """The generator's loss leaves gradients in the discriminator, cleared before its own."""
    nets = {"g": nn.Linear(8, 8), "d": nn.Linear(8, 1)}
    g, d = (SGD(net.parameters(), 0.01) for net in nets.values())
    with watch(nets, [g, d], every=1, select="OPT103") as watching:
        for _ in range(10):
            d.zero_grad()
            (nets["d"](nets["g"](X).detach()).mean() - nets["d"](X).mean()).backward()
            d.step()
            g.zero_grad()
            (-nets["d"](nets["g"](X)).mean()).backward()
            g.step()
    return watching.findings()


def test_two_steps_are_no_verdict():
    net = nn.Linear(8, 4)
    optimizer = SGD(net.parameters(), 0.1)
    with watch(net, optimizer, every=1) as watching:
        for _ in range(2):
            backward(net)
            optimizer.step()
    assert "OPT103" in watching.findings().unanswered
