"""Trainings for DAT107: a network that gets better on the training data alone."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam

from normwise.rules import Findings, watch


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
