"""Networks for GRD104: parameters that gradients never reach."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, SparseAdam

from normwise.rules import check, watch

ROWS = torch.randn(64, 8), torch.randint(0, 4, (64,))


class Cut(nn.Module):
    """An encoder and a head, with something between them."""

    def __init__(self, between: str = ""):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU())
        self.head, self.between = nn.Linear(16, 4), between

    def forward(self, x: Tensor) -> Tensor:
        x = self.encoder(x)
        return self.head(getattr(x, self.between)() if self.between else x)


class Unused(nn.Module):
    """A convolution that the forward leaves out."""

    def __init__(self):
        super().__init__()
        self.used, self.unused, self.head = nn.Conv1d(1, 4, 3), nn.Conv1d(1, 4, 3), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.used(x[:, None])).mean(2))


def bad_detached_encoder():
    net = Cut("detach")
    return check(net, ROWS, optimizer=SGD(net.parameters(), 0.1)), "encoder"


def bad_rounded_encoder():
    return check(Cut("round"), ROWS, select="GRD104"), "encoder"


def bad_unused_layer():
    net = Unused()
    return check(net, ROWS, optimizer=SGD(net.parameters(), 0.1)), "unused"


def ok_all_reached():
    net = Cut()
    return check(net, ROWS, optimizer=SGD(net.parameters(), 0.1))


def near_frozen_encoder():
    net = Cut("detach")
    net.encoder.requires_grad_(False)
    return check(net, ROWS, optimizer=SGD(net.head.parameters(), 0.1))


def near_zero_head_in_the_first_step():
    net = Cut()
    nn.init.zeros_(net.head.weight)
    return check(net, ROWS, optimizer=SGD(net.parameters(), 0.1), select="GRD104")


def near_sparse_gradients():
    net = nn.Sequential(nn.Embedding(10, 4, sparse=True), nn.Flatten(), nn.Linear(12, 3))
    x, y = torch.randint(0, 10, (32, 3)), torch.randint(0, 3, (32,))
    optimizers = SparseAdam(net[0].parameters(), 0.01), SGD(net[2].parameters(), 0.01)
    with watch(net, optimizers, every=1, select="GRD104") as watching:
        for _ in range(10):
            net.zero_grad()
            F.cross_entropy(net(x), y).backward()
            for optimizer in optimizers:
                optimizer.step()
    return watching.findings()


def near_dead_units_which_another_rule_reports():
    net = Cut()
    nn.init.constant_(net.encoder[2].bias, -100)
    return check(net, ROWS, optimizer=SGD(net.parameters(), 0.1), select="GRD104")


def test_few_steps_are_no_verdict():
    assert "8 steps" in check(Cut("detach"), ROWS, steps=7).unanswered["GRD104"]
