"""Networks for NRM102: batch statistics of too few values."""

import torch
from torch import nn

from normwise.rules import check

ROWS = torch.randn(64, 8), torch.randint(0, 4, (64,))
IMAGES = torch.randn(64, 3, 8, 8), torch.randint(0, 4, (64,))


def rows() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(8, 16, bias=False), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 4)
    )


def pooled() -> nn.Sequential:
    """A convolution on single pixels, behind pooling."""
    return nn.Sequential(
        *(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1)),
        *(
            nn.Conv2d(6, 8, 1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(8, 4),
        ),
    )


def first(batch: tuple[torch.Tensor, torch.Tensor], size: int):
    return [(x, y) for x, y in zip(*(t.split(size) for t in batch), strict=True)]


def bad_four_rows():
    return check(rows(), first(ROWS, 4)), "1"


def bad_four_images_behind_pooling():
    return check(pooled(), first(IMAGES, 4)), "4"


def ok_many_rows():
    return check(rows(), ROWS)


def near_two_images_of_many_positions():
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(216, 4),
    )
    return check(net, first(IMAGES, 2))


def near_a_short_last_batch():
    batches = [*first((ROWS[0][:60], ROWS[1][:60]), 20), (ROWS[0][60:], ROWS[1][60:])]
    return check(rows(), batches)


def near_frozen_norm():
    net = rows()
    net[1].eval()
    return check(net, first(ROWS, 4))


def near_layer_norm():
    net = rows()
    net[1] = nn.LayerNorm(16)
    return check(net, first(ROWS, 2))


def test_values_are_counted():
    batches = [(x, y) for x, y in first(IMAGES, 2)]
    net = nn.Sequential(nn.MaxPool2d(4), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 4))
    assert "NRM102" in check(net, batches).clean  # 2 images of 2 x 2 positions are 8 values
    [found] = check(rows(), first(ROWS, 7)[:3], select="NRM102")
    assert (found.value, found.threshold) == (7, 8)
