"""Networks for DRP102: dropout that leaves next to nothing."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from normwise.rules import check

ROWS = torch.randn(64, 8), torch.randint(0, 4, (64,))
IMAGES = torch.randn(64, 3, 8, 8), torch.randint(0, 4, (64,))


def rows(p: float, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, width), nn.GELU(), nn.Dropout(p), nn.Linear(width, 4))


class Images(nn.Module):
    """A convolution with dropout as a function."""

    def __init__(self, p: float, channels: int, *, whole: bool = True):
        super().__init__()
        self.layer, self.head = nn.Conv2d(3, channels, 3), nn.Linear(channels * 36, 4)
        self.p, self.whole = p, whole

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.layer(x))
        drop = F.dropout2d if self.whole else F.dropout
        return self.head(drop(x, p=self.p, training=self.training).flatten(1))


class Path(nn.Module):
    """A residual branch that is left out for some samples."""

    def __init__(self):
        super().__init__()
        self.branch, self.head = nn.Linear(8, 8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        kept = F.dropout(torch.ones(len(x), 1), 0.5, self.training)
        return self.head(x + kept * self.branch(x).relu())


def bad_nearly_all():
    return check(rows(0.95, 64), ROWS), "2"


def bad_half_of_four_channels():
    return check(Images(0.5, 4), IMAGES), ""


def bad_everything():
    return check(rows(1.0, 16), ROWS, select="DRP102"), "2"


def ok_half_of_many():
    return check(rows(0.5, 64), ROWS)


def near_half_of_eight():
    return check(rows(0.5, 8), ROWS)


def near_values_of_few_channels():
    return check(Images(0.5, 4, whole=False), IMAGES)


def near_stochastic_depth():
    return check(Path(), ROWS)


def near_without_dropout():
    return check(rows(0.0, 4), ROWS)


def test_noise_is_that_of_the_masks():
    [found] = check(rows(0.6, 5), ROWS, select="DRP102")
    kept = (torch.rand(400_000, 5) > 0.6).double().mean(1)
    assert found.value == pytest.approx((kept.std() / kept.mean()).item(), rel=0.01)
    assert "leaves 2 of 5 units" in found.message
