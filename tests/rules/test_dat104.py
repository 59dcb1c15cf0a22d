"""Trainings for DAT104: the same batches in the same order."""

from collections.abc import Iterable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD
from torch.utils.data import DataLoader, TensorDataset

from normwise.evidence import Batches, Evidence, Level
from normwise.rules import Findings, check, watch
from normwise.rules.dat104 import NeverReshuffled
from normwise.rules.rule import NotEnough

ROWS = TensorDataset(torch.randn(64, 8), torch.randint(0, 4, (64,)))
PIXELS = torch.zeros(64, 1, 28, 28)
PIXELS[:, :, 8:20, 8:20] = torch.rand(64, 1, 12, 12)
IMAGES = TensorDataset(PIXELS, torch.randint(0, 4, (64,)))


def rows() -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4))


def images() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, 2), nn.Tanh(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 4)
    )


def trained(net: nn.Module, loader: Iterable[tuple[Tensor, Tensor]], epochs: int = 3) -> Findings:
    optimizer = SGD(net.parameters(), 0.01)
    with watch(net, optimizer, every=1) as watching:
        for _ in range(epochs):
            for x, y in loader:
                optimizer.zero_grad()
                F.cross_entropy(net(x), y).backward()
                optimizer.step()
    return watching.findings()


def bad_loader_without_shuffling():
    return trained(rows(), DataLoader(ROWS, 16)), ""


def bad_images_with_black_borders():
    return trained(images(), DataLoader(IMAGES, 16)), ""


def ok_shuffled():
    return trained(rows(), DataLoader(ROWS, 16, shuffle=True))


def ok_shuffled_images_with_black_borders():
    return trained(images(), DataLoader(IMAGES, 16, shuffle=True))


def near_full_batch():
    return trained(rows(), DataLoader(ROWS, 64), epochs=8)


def near_one_epoch():
    return trained(rows(), DataLoader(ROWS, 8), epochs=1)


def near_the_same_batches_in_another_order():
    batches = list(DataLoader(ROWS, 16))
    return trained(rows(), [*batches, *batches[::-1], batches[1], batches[0]], epochs=1)


def near_noise_on_each_batch():
    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = rows()

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x)

    loader = DataLoader(ROWS, 16)
    noisy = [(x + 0.1 * torch.randn_like(x), y) for _ in range(3) for x, y in loader]
    return trained(Noisy(), noisy, epochs=1)


def test_epochs_are_counted():
    [found] = [f for f in trained(rows(), DataLoader(ROWS, 16)) if f.code == "DAT104"]
    assert (found.level, found.value) == ("info", 4)
    assert "the same 4 batches came in the same order 3 times" in found.message


def test_few_batches_are_no_verdict():
    assert "DAT104" in check(rows(), ROWS[:], steps=3).unanswered


def seen(ids: list[int]) -> Evidence:
    batches = Batches("", (16, 8), None, len(ids), np.array(ids))
    return Evidence(Level.FORWARD, batches=(batches,))


@pytest.mark.parametrize(
    ("ids", "period"),
    [([0, 1] * 3, 2), ([0] * 8, None), ([0, 1, 2] * 2, 3), ([0, 1, 2, 0, 1, 3], None)],
)
def test_two_batches_are_enough_and_one_is_not(ids: list[int], period: int | None):
    found = list(NeverReshuffled().check(seen(ids)))
    assert [finding.value for finding in found] == ([] if period is None else [period])


def test_five_batches_are_too_few():
    with pytest.raises(NotEnough):
        list(NeverReshuffled().check(seen([0, 1, 0, 1, 0])))
