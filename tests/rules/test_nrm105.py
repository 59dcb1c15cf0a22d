"""Trainings for NRM105: norms that were frozen, but for their statistics."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD

from normwise.rules import Findings, check, watch

X, Y = torch.randn(64, 8), torch.randint(0, 4, (64,))
IMAGES = torch.randn(64, 3, 8, 8), torch.randint(0, 4, (64,))


def rows() -> nn.Sequential:
    body = nn.Sequential(nn.Linear(8, 16, bias=False), nn.BatchNorm1d(16), nn.ReLU())
    return nn.Sequential(body, nn.Linear(16, 4))


def fine_tuned(net: nn.Sequential) -> Findings:
    net[0].requires_grad_(False)
    return check(net, (X, Y), optimizer=SGD(net[1].parameters(), 0.1))


def bad_frozen_body():
    return fine_tuned(rows()), "0.1"


def bad_frozen_backbone_under_train():
    net = nn.ModuleDict(
        {
            "backbone": nn.Sequential(nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6)),
            "head": nn.Linear(6, 4),
        }
    ).eval()
    net["backbone"].requires_grad_(False)
    optimizer = SGD(net["head"].parameters(), 0.1)
    with watch(net, optimizer, every=1) as watching:
        for _ in range(5):
            net.train()
            optimizer.zero_grad()
            with torch.no_grad():
                features = net["backbone"](IMAGES[0]).relu().mean((2, 3))
            F.cross_entropy(net["head"](features), IMAGES[1]).backward()
            optimizer.step()
    return watching.findings(), "backbone.1"


def ok_all_is_trained():
    net = rows()
    return check(net, (X, Y), optimizer=SGD(net.parameters(), 0.1))


def near_frozen_and_in_evaluation_mode():
    net = rows()
    net[0].eval()
    return fine_tuned(net)


def near_momentum_of_zero():
    net = rows()
    net[0][1].momentum = 0
    return fine_tuned(net)


def near_frozen_layers_around_a_trained_norm():
    net = rows().requires_grad_(False)
    norm = net[0][1].requires_grad_(True)
    return check(net, (X, Y), optimizer=SGD(norm.parameters(), 0.1))


def averaged(move: Callable[[Tensor, Tensor], None]) -> Findings:
    """A student that follows a teacher, which is an average of its weights."""
    nets = {"student": rows(), "teacher": rows().requires_grad_(False)}
    nets["teacher"].load_state_dict(nets["student"].state_dict())
    optimizer = SGD(nets["student"].parameters(), 0.1)
    with watch(nets, optimizer, every=1, select="NRM105") as watching:
        for _ in range(5):
            optimizer.zero_grad()
            output = nets["student"](X)
            with torch.no_grad():
                target = nets["teacher"](X + 0.1)
            F.mse_loss(output, target).backward()
            optimizer.step()
            for ours, theirs in zip(*(net.parameters() for net in nets.values()), strict=True):
                move(theirs.data, ours.data)
    return watching.findings()


def near_averaged_copy():
    return averaged(lambda theirs, ours: theirs.lerp_(ours, 0.1))


def test_a_copy_that_is_not_averaged():
    assert [f.where for f in averaged(lambda _theirs, _ours: None)] == ["teacher.0.1"]


def test_without_an_optimizer_it_is_no_verdict():
    net = rows()
    net[0].requires_grad_(False)
    assert "NRM105" in check(net, (X, Y)).unanswered
