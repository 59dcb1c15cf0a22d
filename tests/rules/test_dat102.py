"""Data for DAT102: inputs that are far too large, too small or off centre."""

import pytest
import torch
from torch import nn

from normwise.rules import check

Y = torch.randint(0, 4, (128,))
X = torch.randn(128, 6, generator=torch.Generator().manual_seed(0))
IMAGES = torch.rand(128, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def rows(*first: nn.Module) -> nn.Sequential:
    return nn.Sequential(*first, nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 4))


def images() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)
    )


def bad_images_of_bytes():
    return check(images(), (255 * IMAGES, Y), select="DAT"), ""


def bad_kelvin():
    return check(rows(), (300 + 5 * X, Y), select="DAT"), ""


def bad_tiny():
    return check(rows(), (1e-4 * X, Y), select="DAT"), ""


def ok_standardised():
    return check(rows(), (X, Y))


def near_images_from_0_to_1():
    return check(images(), (IMAGES, Y))


def near_a_few_large_features():
    return check(rows(), (X * torch.tensor([1.0, 1, 1, 1, 50, 50]), Y), select="DAT")


def near_norm_at_the_entrance():
    return check(rows(nn.BatchNorm1d(6, affine=False)), (300 + 5 * X, Y))


def near_dropout_at_the_entrance():
    return check(rows(nn.Dropout(0.1)), (X, Y))


def test_value_is_the_median_root_mean_square():
    [found] = check(images(), (255 * IMAGES, Y), select="DAT102")
    sizes = (255 * IMAGES).square().mean((0, 2, 3)).sqrt()
    assert found.value == pytest.approx(sizes.median().item(), rel=0.02)
    assert found.threshold == 10


def test_unlike_scales_are_left_to_their_own_rule():
    x = X * torch.tensor([1.0, 1, 900, 900, 900, 900])
    assert check(rows(), (x, Y), select="DAT102").clean == ["DAT102"]


def test_whole_numbers_are_no_verdict():
    net = nn.Sequential(nn.Embedding(9, 8), nn.Flatten(), nn.Linear(40, 4))
    findings = check(net, (torch.randint(0, 9, (128, 5)), Y))
    assert "floating-point" in findings.unanswered["DAT102"]


@pytest.mark.parametrize(
    ("scale", "off", "found"),
    [
        (8, 0, False),
        (14, 0, True),
        (0.015, 0, False),
        (0.007, 0, True),
        (0.5, 8, False),
        (0.5, 13, True),
    ],
)
def test_bounds(scale: float, off: float, found: bool):
    x = ((X - X.mean(0)) / X.std(0) + off) * scale
    assert [f.code for f in check(rows(), (x, Y), select="DAT102")] == ["DAT102"] * found


def test_constants_do_not_count():
    x = X * torch.tensor([1.0, 1, 0, 0, 0, 0]) + torch.tensor([0.0, 0, 50, 50, 50, 50])
    assert check(rows(), (x, Y), select="DAT102").clean == ["DAT102"]
