"""A program may differ from its networks by rounding, and in some runs by a pooling's accident."""

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from normwise.data import Split
from normwise.stack import NotStackable, Objective
from normwise.stack.checking import Check, FirstStep

EXAMPLE = Split(torch.randn(8, 3, generator=torch.Generator().manual_seed(0)), torch.ones(8, 1))
OBJECTIVE = Objective("regression")


def found(difference: float) -> FirstStep:
    """What a program finds whose gradients are too large, or missing."""
    network = nn.Linear(3, 1)
    loss = OBJECTIVE.loss(network(EXAMPLE.x), EXAMPLE.y)
    names = [name for name, _ in network.named_parameters()]
    gradients = torch.autograd.grad(loss, list(network.parameters()))
    wrong = {n: g * (1 + difference) for n, g in zip(names, gradients, strict=True)}
    return FirstStep(
        network=network,
        masks=[],
        label_smoothing=0.0,
        entropy=0.0,
        loss=loss.detach(),
        gradients={} if math.isinf(difference) else wrong,
        buffers={},
    )


@pytest.mark.parametrize(
    ("differences", "looked_at", "accepted"),
    [
        ([1e-4, 9, 9, 9], 1, True),
        ([1e-3, 1e-4, 9, 9], 2, True),  # a pooling that took the other of two equal values
        ([1e-3, 1e-3, 1e-3, 1e-4], 4, True),
        ([1e-3, 1e-3, 1e-3, 1e-3, 0], 4, False),  # no accident
        ([0.1, 0, 0, 0], 1, False),  # more than such an accident would do
        ([math.inf, 0, 0, 0], 1, False),
    ],
)
def test_runs_may_differ_by_a_pooling_but_not_all(
    differences: list[float], looked_at: int, accepted: bool
) -> None:
    seen: list[float] = []

    def runs() -> Iterator[FirstStep]:
        for difference in differences:
            seen.append(difference)
            yield found(difference)

    check = Check(OBJECTIVE, EXAMPLE)
    if accepted:
        check.step(runs())
    else:
        with pytest.raises(NotStackable, match="step of the recorded program differs"):
            check.step(runs())
    assert seen == differences[:looked_at]


@pytest.mark.parametrize(("part", "by"), [("loss", 1e-2), ("buffers", 1e-2)])
def test_loss_and_buffers_are_compared_too(part: str, by: float) -> None:
    network = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 1))
    state = {name: buffer.clone() for name, buffer in network.named_buffers()}
    loss = OBJECTIVE.loss(network(EXAMPLE.x), EXAMPLE.y)
    loss.backward()
    right = {
        "loss": loss.detach(),
        "buffers": {name: buffer.clone() for name, buffer in network.named_buffers()},
    }
    for name, buffer in network.named_buffers():
        buffer.copy_(state[name])
    gradients = {n: p.grad for n, p in network.named_parameters() if p.grad is not None}
    network.zero_grad()
    wrong = (
        {"loss": right["loss"] * (1 + by)}
        if part == "loss"
        else {"buffers": {n: b * (1 + by) for n, b in right["buffers"].items()}}
    )
    common = (network, [], 0.0, 0.0)

    def step(values: dict) -> FirstStep:
        return FirstStep(*common, gradients=gradients, **values)

    check = Check(OBJECTIVE, EXAMPLE)
    check.step([step(right)])
    with pytest.raises(NotStackable):
        check.step([step({**right, **wrong})] * 4)


def test_evaluation_is_compared() -> None:
    network, check = nn.Linear(3, 1), Check(OBJECTIVE, EXAMPLE)
    check.evaluation(lambda x: network(x) * (1 + 1e-7), network)
    with pytest.raises(NotStackable, match="evaluation of the stack differs"):
        check.evaluation(lambda x: network(x) * 1.01, network)
    assert network.training


def test_imaginary_parts_are_compared_too() -> None:
    class Complex(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3, 1, dtype=torch.cfloat))

        def forward(self, x: Tensor) -> Tensor:
            return (x.to(torch.cfloat) @ self.weight).abs()

    network = Complex()
    loss = OBJECTIVE.loss(network(EXAMPLE.x), EXAMPLE.y)
    [gradient] = torch.autograd.grad(loss, [network.weight])

    def step(gradient: Tensor) -> FirstStep:
        return FirstStep(network, [], 0.0, 0.0, loss.detach(), {"weight": gradient}, {})

    check = Check(OBJECTIVE, EXAMPLE)
    check.step([step(gradient)])
    with pytest.raises(NotStackable):
        check.step([step(gradient.conj().resolve_conj())])
