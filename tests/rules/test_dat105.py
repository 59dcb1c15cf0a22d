"""Trainings for DAT105: batches of a single class or two."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from normwise.rules import Findings, check

Y = torch.arange(10).repeat_interleave(32)
X = torch.randn(320, 8)
IMAGES = torch.randn(320, 1, 6, 6)


def rows(classes: int = 10) -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, classes))


def images() -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2d(1, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(64, 10), nn.LogSoftmax(1)),
    )


def checked(net: nn.Module, x: Tensor, y: Tensor, size: int = 32, **options: object) -> Findings:
    batches = list(zip(x.split(size), y.split(size), strict=True))
    return check(net, batches, steps=len(batches), **options)


def bad_a_class_at_a_time():
    return checked(rows(), X, Y, select="DAT"), ""


def bad_images_with_log_probabilities():
    return checked(images(), IMAGES, Y, 20, loss=F.nll_loss, select="DAT"), ""


def ok_shuffled():
    return checked(rows(), X, Y[torch.randperm(320)])


def near_unbalanced_classes():
    rare = torch.where(torch.rand(320) < 0.02, torch.randint(0, 10, (320,)), 0)
    return checked(rows(), X, rare)


def near_two_classes_in_all():
    return checked(rows(2), X, Y[torch.randperm(320)] % 2)


def near_tiny_batches():
    return checked(rows(), X[:64], Y[torch.randperm(320)][:64], 2, select="DAT")


def near_classes_by_the_dozen():
    """Batches of eight of forty classes, four samples each, as metric learning draws them."""
    y = torch.cat([torch.randperm(40)[:8].repeat_interleave(4) for _ in range(10)])
    return checked(rows(40), X, y)


def test_classes_are_counted():
    [found] = checked(rows(), X, Y, select="DAT105")
    assert found.value == 1
    seen = 3  # every fourth batch is looked at
    assert found.threshold == 0.5 * seen * (1 - (1 - 1 / seen) ** 32)


def test_one_class_in_all_is_no_verdict():
    assert "several classes" in checked(rows(), X, 0 * Y).unanswered["DAT105"]
