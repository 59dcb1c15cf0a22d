"""Trainings for NRM108: batch statistics of parts of a batch."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import SGD

from normwise.rules import Findings, watch

X, Y = torch.randn(512, 8), torch.randint(0, 4, (512,))
IMAGES = torch.randn(64, 3, 6, 6)


def rows() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(8, 16, bias=False), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 4)
    )


def images() -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)),
    )


def trained(net: nn.Module, x: torch.Tensor, size: int, times: int) -> Findings:
    optimizer = SGD(net.parameters(), lr=0.01)
    batches = list(zip(x.split(size), Y[: len(x)].split(size), strict=True))
    with watch(net, optimizer, every=1) as watching:
        for start in range(0, len(batches) - times + 1, times):
            optimizer.zero_grad()
            for batch, target in batches[start : start + times]:
                (F.cross_entropy(net(batch), target) / times).backward()
            optimizer.step()
    return watching.findings()


def bad_twelve_rows():
    return trained(rows(), X[:480], 12, 4), "1"


def bad_images_are_worth_knowing():
    return trained(images(), IMAGES, 4, 4), "1"


def ok_one_batch_per_step():
    return trained(rows(), X, 32, 1)


def near_accumulation_of_another_norm():
    net = rows()
    net[1] = nn.LayerNorm(16)
    return trained(net, X, 8, 4)


def near_two_losses_of_one_pass():
    net = rows()
    optimizer = SGD(net.parameters(), lr=0.01)
    with watch(net, optimizer, every=1) as watching:
        for _ in range(6):
            optimizer.zero_grad()
            output = net(X[:64])
            F.cross_entropy(output, Y[:64]).backward(retain_graph=True)
            (0.01 * output.square().mean()).backward()
            optimizer.step()
    return watching.findings()


def near_adversary_whose_gradients_are_cleared():
    """The generator's loss goes back through the discriminator too, but not into its steps."""
    nets = {"g": nn.Linear(8, 8), "d": rows()}
    g, d = (SGD(net.parameters(), 0.01) for net in nets.values())
    with watch(nets, [g, d], every=1, select="NRM108") as watching:
        for _ in range(6):
            d.zero_grad()
            (nets["d"](nets["g"](X[:64]).detach()).mean() - nets["d"](X[:64]).mean()).backward()
            d.step()
            g.zero_grad()
            (-nets["d"](nets["g"](X[:64])).mean()).backward()
            g.step()
    return watching.findings()


def test_level_depends_on_the_values_per_channel():
    [few] = [f for f in trained(rows(), X[:480], 12, 4) if f.code == "NRM108"]
    [many] = [f for f in trained(images(), IMAGES, 4, 4) if f.code == "NRM108"]
    assert (few.level, few.value) == ("warning", 12)
    assert (many.level, many.value) == ("info", pytest.approx(4 * 16))
    assert "each of 4 batches per step" in few.message
