"""Data for DAT101: features of which some are far larger than others."""

import pytest
import torch
from torch import Tensor, nn

from normwise.data import load
from normwise.rules import check

Y = torch.randint(0, 4, (256,))
X = torch.randn(256, 6, generator=torch.Generator().manual_seed(0))


def rows(features: int, *first: nn.Module) -> nn.Sequential:
    return nn.Sequential(*first, nn.Linear(features, 16), nn.Tanh(), nn.Linear(16, 4))


class Recurrent(nn.Module):
    """A network for sequences."""

    def __init__(self):
        super().__init__()
        self.layers, self.head = nn.GRU(3, 8, batch_first=True), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(x)[0][:, -1])


def bad_one_huge_feature():
    x = X * torch.tensor([1.0, 1, 1, 1, 1, 5000])
    return check(rows(6), (x, Y), select="DAT"), ""


def bad_sequences_of_three_features_two_of_them_huge():
    x = torch.randn(256, 5, 3) * torch.tensor([1000.0, 2000, 1])
    return check(Recurrent(), (x, Y), select="DAT"), ""


def ok_standardised():
    return check(rows(6), (X, Y))


def near_ten_times():
    return check(rows(6), (X * torch.tensor([1.0, 1, 1, 1, 1, 10]), Y))


def near_norm_at_the_entrance():
    x = X * torch.tensor([1.0, 1, 1, 1, 1, 5000])
    return check(rows(6, nn.BatchNorm1d(6, affine=False)), (x, Y))


def near_constant_feature_among_others():
    x = X * torch.tensor([1.0, 1, 1, 1, 1, 0])
    return check(rows(6), (x, Y), select="DAT")


def near_rare_categories():
    kinds = torch.distributions.Geometric(0.1).sample((256,)).clamp(max=39).long()
    x = torch.cat([torch.eye(40)[kinds], X], 1)
    return check(rows(46), (x, Y), select="DAT")


def near_images_in_rows_with_black_corners():
    digits = load("digits").train
    x, y = digits.x[:256].flatten(1), digits.y[:256]
    net = nn.Sequential(nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 10))
    return check(net, (x, y))


def test_ratio_is_that_of_standard_deviations():
    x = X * torch.tensor([1.0, 2, 1000, 1, 1, 1])
    [found] = check(rows(6), (x, Y), select="DAT101")
    stds = x.std(0, correction=0).sort().values
    assert found.value == pytest.approx((stds[-1] / stds[1]).item(), rel=1e-4)
    assert found.message.startswith("feature 2 ")


def test_inputs_that_the_network_prepares_itself_are_no_verdict():
    class Preparing(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(6, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer((x - x.mean(0)) / x.std(0))

    x = X * torch.tensor([1.0, 1, 1, 1, 1, 5000])
    findings = check(Preparing(), (x, Y))
    assert {"DAT101", "DAT102"} <= set(findings.unanswered)


@pytest.mark.parametrize(("factor", "found"), [(70, []), (150, ["DAT101"])])
def test_a_hundred_times_is_the_bound(factor: float, found: list[str]):
    x = X / X.std(0) * torch.tensor([1.0, 1, 1, 1, 1, factor])
    assert [f.code for f in check(rows(6), (x, Y), select="DAT101")] == found


def test_constants_have_no_scale():
    x = X * torch.tensor([1.0, 1, 1, 0, 0, 0])
    assert check(rows(6), (x, Y), select="DAT101").clean == ["DAT101"]
