"""Networks for DRP103: dropout on what the network puts out."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD

from normwise.rules import check, watch

X, Y = torch.randn(64, 8), torch.randint(0, 4, (64,))


def net(*last: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), *last)


class Outer(nn.Module):
    """A network whose output is dropped by a function and reshaped."""

    def __init__(self):
        super().__init__()
        self.inner = net(nn.Linear(16, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(self.inner(x), 0.2, self.training).squeeze(1)


def bad_logits():
    return check(net(nn.Linear(16, 4), nn.Dropout(0.3)), (X, Y)), "3"


def bad_difference_by_hand():
    model = nn.ModuleDict({"all": Outer()})
    optimizer = SGD(model.parameters(), 0.01)
    with watch(model, optimizer, every=1) as watching:
        for _ in range(5):
            optimizer.zero_grad()
            (model["all"](X) - X[:, 0]).square().mean().backward()
            optimizer.step()
    return watching.findings(), "all"


def ok_before_the_last_layer():
    return check(net(nn.Dropout(0.3), nn.Linear(16, 4)), (X, Y))


def near_without_dropout():
    return check(net(nn.Linear(16, 4), nn.Dropout(0.0)), (X, Y))


def near_similarities_of_dropped_embeddings():
    def loss(out: Tensor, _y: Tensor) -> Tensor:
        return F.cross_entropy(out @ out.T, torch.arange(len(out)))

    return check(net(nn.Linear(16, 16), nn.Dropout(0.1)), (X, Y), loss=loss, select="DRP")


class Residual(nn.Module):
    """A branch with dropout at its end."""

    def __init__(self):
        super().__init__()
        self.branch = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Dropout(0.1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


def near_residual_branch():
    return check(Residual(), (X, Y))


def test_the_probability_is_named():
    [found] = check(net(nn.Linear(16, 4), nn.Dropout(0.3)), (X, Y), select="DRP103")
    assert found.value == 0.3
    assert "p=0.3" in found.message
