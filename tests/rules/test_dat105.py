"""Trainings for DAT105: batches of a single class or two."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from normwise.evidence import Evidence, Level, Loss, probe
from normwise.evidence.series import SeriesMeter
from normwise.rules import Findings, check
from normwise.rules.dat105 import SortedByClass
from normwise.rules.rule import NotEnough

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


def bad_two_classes_one_after_the_other():
    return checked(rows(2), X, Y // 5, select="DAT"), ""


def ok_shuffled():
    return checked(rows(), X, Y[torch.randperm(320)])


def near_unbalanced_classes():
    rare = torch.where(torch.rand(320) < 0.02, torch.randint(0, 10, (320,)), 0)
    return checked(rows(), X, rare)


def near_two_classes_in_all():
    return checked(rows(2), X, Y[torch.randperm(320)] % 2)


def near_tiny_batches():
    return checked(rows(), X[:64], Y[torch.randperm(320)][:64], 2, select="DAT")


def near_one_of_two_classes_is_rare():
    rare = (torch.arange(320) % 64 == 0).long()
    return checked(rows(2), X, rare, select="DAT")


def near_real_and_made_samples_in_turn():
    """A discriminator with two outputs, which gets a batch of each kind per step."""

    def judge(output: Tensor, kind: Tensor) -> Tensor:
        return sum((F.cross_entropy(output, torch.full_like(kind, k)) for k in (0, 1)), Tensor([0]))

    return checked(rows(2), X, Y, loss=judge, select="DAT")


def near_classes_by_the_dozen():
    """Batches of eight of forty classes, four samples each, as metric learning draws them."""
    y = torch.cat([torch.randperm(40)[:8].repeat_interleave(4) for _ in range(10)])
    return checked(rows(40), X, y)


def test_classes_are_counted():
    [found] = checked(rows(), X, Y, select="DAT105")
    assert found.value == 1
    seen = 3  # every fourth batch is looked at
    expected = seen * (1 - (1 - 1 / seen) ** 32)
    assert abs(found.threshold - (1 + 0.5 * (expected - 1))) < 1e-12


def test_one_class_in_all_is_no_verdict():
    assert "several classes" in checked(rows(), X, 0 * Y).unanswered["DAT105"]


def counted(
    counts: list[float], distinct: list[float], shape: tuple[int, ...] = (64,), **others: object
) -> Evidence:
    """Return evidence of a loss whose targets were counted."""
    batch = torch.randn(8, 8), torch.randint(0, 4, (8,))
    loss: Loss = probe(rows(4), [batch], F.cross_entropy).losses[0]
    meter = SeriesMeter()
    for step, number in enumerate(distinct):
        meter.add(step, torch.tensor(number))
    loss = replace(
        loss,
        target_counts=torch.tensor(counts).numpy(),
        distinct=meter.column(),
        target_shape=shape,
        **others,
    )
    return Evidence(Level.FORWARD, losses=(loss,), measured=len(distinct))


@pytest.mark.parametrize(
    ("counts", "distinct", "reported"),
    [
        ([32.0] * 10, [4.0] * 9, True),
        ([32.0] * 10, [4.0, 4.1] * 9, False),  # more than four
        ([32.0] * 5, [2.9] * 9, True),  # of five expected
        ([32.0] * 5, [3.1] * 9, False),
        ([300.0] + [4.0] * 10, [2.0] * 16, True),  # of 6.8, of which 6 beside the first
        ([300.0] + [4.0] * 10, [3.9] * 16, False),
        ([300.0, 4.0], [1.0] * 4, False),  # of 1.6, which chance explains with 4 batches ...
        ([300.0, 4.0], [1.0] * 40, True),  # ... but not with 40
    ],
)
def test_the_bounds(counts: list[float], distinct: list[float], reported: bool):
    assert bool(list(SortedByClass().check(counted(counts, distinct)))) is reported


def test_expected_classes_are_those_of_random_batches():
    counts = torch.tensor([300.0, 50.0, 5.0, 5.0])
    drawn = torch.multinomial(counts.expand(20_000, 4), 64, replacement=True)
    expected = F.one_hot(drawn, 4).amax(1).sum(1).double().mean().item()
    [found] = SortedByClass().check(counted(counts.tolist(), [1.0] * 400))
    assert found.threshold is not None
    assert abs(found.threshold - (1 + 0.5 * (expected - 1))) < 0.01


@pytest.mark.parametrize(
    "evidence",
    [
        counted([32.0] * 10, [1.0]),  # a single batch
        counted([32.0], [1.0] * 9),
        counted([32.0] * 10, [1.0] * 9, (8, 8)),  # pixels
        counted([32.0] * 10, [1.0] * 9, training=False),
    ],
)
def test_what_is_no_verdict(evidence: Evidence):
    with pytest.raises(NotEnough):
        list(SortedByClass().check(evidence))
