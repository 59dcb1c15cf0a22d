"""Trainings for OPT107: gradients that are clipped while they are still scaled."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from normwise.rules import Findings, watch

X, Y = torch.randn(64, 8), torch.randint(0, 4, (64,))


def trained(
    edit: Callable[[nn.Module, Optimizer, torch.amp.GradScaler], None],
    net: nn.Module,
    make: type[Optimizer] = SGD,
) -> Findings:
    optimizer = make(net.parameters(), lr=0.01)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12)
    with watch(net, optimizer, every=1, select="OPT107") as watching:
        for _ in range(6):
            optimizer.zero_grad()
            scaler.scale(F.cross_entropy(net(X), Y)).backward()
            edit(net, optimizer, scaler)
            scaler.step(optimizer)
            scaler.update()
    return watching.findings()


def rows() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))


def recurrent() -> nn.Module:
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.memory, self.head = nn.GRU(2, 8, batch_first=True), nn.Linear(8, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.memory(x.view(64, 4, 2))[0][:, -1])

    return Recurrent()


def clip(net: nn.Module, _optimizer: Optimizer, _scaler: torch.amp.GradScaler) -> None:
    nn.utils.clip_grad_norm_(net.parameters(), 1.0)


def bad_clipped_while_scaled():
    return trained(clip, rows()), "SGD"


def bad_clipped_by_value_while_scaled():
    def edit(net: nn.Module, _optimizer: Optimizer, _scaler: torch.amp.GradScaler) -> None:
        nn.utils.clip_grad_value_(net.parameters(), 1.0)

    return trained(edit, recurrent(), AdamW), "AdamW"


def ok_unscaled_first():
    def edit(net: nn.Module, optimizer: Optimizer, scaler: torch.amp.GradScaler) -> None:
        scaler.unscale_(optimizer)
        clip(net, optimizer, scaler)

    return trained(edit, rows())


def ok_never_clipped():
    return trained(lambda *_: None, recurrent())


def near_divided_while_scaled():
    """Sums over micro-batches are made means, which commutes with the scaling."""

    def edit(net: nn.Module, optimizer: Optimizer, scaler: torch.amp.GradScaler) -> None:
        for parameter in net.parameters():
            assert parameter.grad is not None
            parameter.grad.mul_(0.5)
        scaler.unscale_(optimizer)

    return trained(edit, rows())


def near_clipped_without_a_scaler():
    net = rows()
    optimizer = SGD(net.parameters(), 0.01)
    with watch(net, optimizer, every=1, select="OPT107") as watching:
        for _ in range(6):
            optimizer.zero_grad()
            F.cross_entropy(net(X), Y).backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
    return watching.findings()
