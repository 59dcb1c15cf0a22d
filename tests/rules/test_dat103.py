"""Data for DAT103: features that never vary."""

import torch
from torch import nn

from normwise.rules import check

Y = torch.randint(0, 4, (256,))
X = torch.randn(256, 6, generator=torch.Generator().manual_seed(0))
IMAGES = torch.randn(64, 3, 4, 4, generator=torch.Generator().manual_seed(0))


def rows() -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 4))


def images() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.Tanh(), nn.Flatten(), nn.Linear(32, 4))


def bad_column():
    return check(rows(), (X * torch.tensor([1.0, 1, 1, 0, 1, 1]) + 0.3, Y)), ""


def bad_channel():
    return check(images(), (IMAGES * torch.tensor([1.0, 0, 1])[:, None, None], Y[:64])), ""


def ok_all_vary():
    return check(rows(), (X, Y))


def near_nearly_constant():
    return check(rows(), (X * torch.tensor([1.0, 1, 1, 0.05, 1, 1]) + 0.5, Y))


def near_constant_in_a_batch_but_not_in_all():
    batches = [(X.clone(), Y) for _ in range(2)]
    for value, (x, _) in enumerate(batches):
        x[:, 0] = value
    return check(rows(), batches)


def test_features_are_named():
    [found] = check(rows(), (X * torch.tensor([0.0, 1, 1, 0, 1, 1]), Y), select="DAT103")
    assert (found.level, found.value) == ("info", 2)
    assert found.message.endswith("samples: 0, 3")


def test_few_samples_are_no_verdict():
    findings = check(rows(), (X[:20], Y[:20]), steps=2)
    assert "fewer than 256" in findings.unanswered["DAT103"]
