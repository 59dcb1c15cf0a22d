"""Programs for MOD103: a graph for gradients that nobody takes."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import SGD

from normwise.rules import Findings, watch

BATCHES = [(torch.randn(64, 8), torch.randint(0, 4, (64,))) for _ in range(4)]


def rows() -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 4))


def images() -> nn.Sequential:
    return nn.Sequential(nn.Unflatten(1, (1, 2, 4)), nn.Conv2d(1, 4, 2), nn.ReLU(), nn.Flatten())


def trained(net: nn.Module, *, gradients: bool) -> Findings:
    head = nn.LazyLinear(4)
    whole = nn.Sequential(net, head)
    whole(BATCHES[0][0])
    optimizer = SGD(whole.parameters(), 0.01)
    with watch(whole, optimizer, every=1, select="MOD") as watching:
        for x, y in BATCHES:
            optimizer.zero_grad()
            F.cross_entropy(whole(x), y).backward()
            optimizer.step()
        whole.eval()
        with torch.set_grad_enabled(gradients):
            for x, _ in BATCHES:
                whole(x).argmax(1)
    return watching.findings()


def bad_rows():
    return trained(rows(), gradients=True), ""


def bad_images():
    return trained(images(), gradients=True), ""


def ok_without_gradients():
    return trained(rows(), gradients=False)


def near_frozen_network():
    net = rows().eval().requires_grad_(False)
    with watch(net, every=1, select="MOD103") as watching:
        for x, _ in BATCHES:
            net(x)
    return watching.findings()


def near_explanation():
    net = rows().eval()
    with watch(net, every=1, select="MOD103") as watching:
        for x, _ in BATCHES:
            net(x.clone().requires_grad_()).max().backward()
    return watching.findings()


def test_passes_are_counted():
    [found] = trained(rows(), gradients=True)
    assert (found.code, found.level, found.value, found.step) == ("MOD103", "info", 4, 4)


@pytest.mark.parametrize(("passes", "found"), [(1, []), (2, ["MOD103"])])
def test_one_pass_may_be_a_trial(passes: int, found: list[str]):
    net = rows().eval()
    with watch(net, every=1, select="MOD103") as watching:
        for x, _ in BATCHES[:passes]:
            net(x)
    assert [finding.code for finding in watching.findings()] == found


def test_a_frozen_part_does_not_learn_though_another_does():
    nets = nn.ModuleDict({"eyes": rows().requires_grad_(False), "head": nn.Linear(4, 4)}).eval()
    with watch(nets, every=1, select="MOD103") as watching:
        for x, _ in BATCHES:
            nets["eyes"](x)
            nets["head"](x[:, :4])
    assert [finding.where for finding in watching.findings()] == ["head"]
