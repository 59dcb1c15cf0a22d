"""Trainings for DAT107: a network that gets better on the training data alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam

from normwise.evidence import Evidence, Level, probe
from normwise.evidence.series import EMPTY
from normwise.rules import Findings, watch
from normwise.rules.dat107 import Overfitting
from normwise.rules.rule import NotEnough


def teacher(samples: int, noise: float, seed: int) -> tuple[Tensor, Tensor]:
    """Return samples of four classes, of which some are labelled at random."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(samples, 8, generator=generator)
    y = x[:, :4].argmax(1)
    wrong = torch.rand(samples, generator=generator) < noise
    return x, torch.where(wrong, torch.randint(0, 4, (samples,), generator=generator), y)


def rows(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, 4))


def trained(
    train: tuple[Tensor, Tensor],
    held_out: tuple[Tensor, Tensor],
    loss=F.cross_entropy,
    *,
    width: int = 64,
    steps: int = 400,
    lr: float = 0.01,
) -> Findings:
    net = rows(width)
    optimizer = Adam(net.parameters(), lr)
    with watch(net, optimizer, every=1, select="DAT107") as watching:
        for step in range(steps):
            rows_ = torch.randint(0, len(train[0]), (32,))
            optimizer.zero_grad()
            loss(net(train[0][rows_]), train[1][rows_]).backward()
            optimizer.step()
            if step % 25 == 24:
                net.eval()
                with torch.no_grad():
                    loss(net(held_out[0]), held_out[1])
                net.train()
    return watching.findings()


def bad_few_samples_with_wrong_labels():
    return trained(teacher(64, 0.4, 0), teacher(200, 0.4, 1)), ""


def bad_before_the_first_evaluation_is_long_past():
    return trained(teacher(48, 0.4, 0), teacher(200, 0.4, 1), lr=0.06), ""


def bad_regression():
    def numbers(seed: int, samples: int) -> tuple[Tensor, Tensor]:
        x, _ = teacher(samples, 0.0, seed)
        noise = torch.randn(samples, 4, generator=torch.Generator().manual_seed(seed + 9))
        return x, x[:, :4] + noise

    return trained(numbers(0, 48), numbers(1, 200), F.mse_loss), ""


def ok_enough_samples():
    return trained(teacher(4000, 0.0, 0), teacher(500, 0.0, 1))


def near_wrong_labels_of_many_samples():
    return trained(teacher(4000, 0.3, 0), teacher(500, 0.3, 1), width=16)


def near_validation_that_stays_above_training():
    return trained(teacher(64, 0.4, 0), teacher(200, 0.4, 1), steps=200, lr=1e-3)


def test_the_turn_is_named():
    [found] = trained(teacher(64, 0.4, 0), teacher(200, 0.4, 1))
    assert found.step is not None
    assert 25 <= found.step <= 150
    assert found.value > found.threshold


def test_few_evaluations_are_no_verdict():
    assert "evaluations" in trained(*(teacher(64, 0.0, 0),) * 2, steps=100).unanswered["DAT107"]


def test_no_evaluation_is_no_verdict():
    net = rows(4)
    x, y = teacher(64, 0.0, 0)
    optimizer = SGD(net.parameters(), 0.1)
    with watch(net, optimizer, every=1) as watching:
        for _ in range(5):
            optimizer.zero_grad()
            F.cross_entropy(net(x), y).backward()
            optimizer.step()
    assert "DAT107" in watching.findings().unanswered


FALLING = np.linspace(2.0, 1.0, 200)  # a fall of 0.95 between the means of the outer tenths


def followed(training: np.ndarray, validation: list[float]) -> Evidence:
    """Return evidence of a loss at every step and at evaluations, spread over as many steps."""
    loss = probe(rows(4), [teacher(8, 0.0, 0)], F.cross_entropy).losses[0]
    steps = np.arange(len(training))
    times = np.linspace(0, len(training) - 1, len(validation)).astype(int)
    trained = replace(EMPTY, steps=steps, values=training, count=len(training))
    held_out = replace(EMPTY, steps=times, values=np.array(validation), count=len(validation))
    both = (replace(loss, value=trained), replace(loss, value=held_out, training=False))
    return Evidence(Level.TRAINING, losses=both)


def found(training: np.ndarray, validation: list[float]) -> list[tuple[int | None, float | None]]:
    return [(f.step, f.value) for f in Overfitting().check(followed(training, validation))]


DOWN, LOW = [2.0, 1.8, 1.6, 1.4, 1.2], [1.0] * 5
ENDS = FALLING[:20].mean() - FALLING[-20:].mean()


def test_rise_is_that_of_the_smoothed_loss_since_its_lowest_as_a_share_of_the_fall():
    [(step, value)] = found(FALLING, [*DOWN, *LOW, 1.3, 1.3, 1.3])
    assert step == int(np.linspace(0, 199, 13)[6])
    assert value == pytest.approx(0.3 / ENDS)


@pytest.mark.parametrize(
    "validation",
    [
        [*DOWN, *LOW, 1.2, 1.2, 1.2],  # a rise by 0.2, of 0.9 that the training loss fell
        [*DOWN, *LOW, 1.3, 1.3, 1.0],  # which on average is as little
        [*DOWN, *LOW, 1.6, 1.6, 1.6, *LOW],  # it came back
        [*DOWN, *LOW, *LOW],
    ],
)
def test_what_is_no_rise(validation: list[float]):
    assert found(FALLING, validation) == []


@pytest.mark.parametrize(
    ("training", "reported"),
    [
        (FALLING, True),
        (np.r_[np.linspace(2.0, 1.0, 100), np.full(100, 1.0)], False),  # no fall since the turn
        (np.r_[np.linspace(2.0, 1.0, 60), np.linspace(1.0, 0.7, 140)], True),  # a part of it
        (FALLING[::-1], False),
        (np.r_[np.full(30, 0.5), FALLING], False),  # it ends above where it began
        (np.r_[9.0, FALLING], True),  # where a first value says nothing
        (np.r_[FALLING, 1.9], True),  # nor does a last one
    ],
)
def test_the_training_loss_must_go_on_falling(training: np.ndarray, reported: bool):
    rising = [*DOWN, *LOW, 1.5, 1.5, 1.5]
    assert bool(found(training, rising)) is reported


def test_a_loss_that_rises_from_the_first_evaluation_turned_there():
    [(step, _)] = found(FALLING, [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6])
    assert step == 0


@pytest.mark.parametrize(("evaluations", "steps"), [(5, 200), (6, 2)])
def test_what_is_no_verdict(evaluations: int, steps: int):
    with pytest.raises(NotEnough):
        found(FALLING[:steps], [1.0] * evaluations)
    assert found(FALLING[:3], [1.0] * 6) == []
