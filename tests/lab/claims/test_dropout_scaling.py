import itertools
import math

import pytest
import torch
from torch import nn

from normwise.lab import ERRATA, Budget
from normwise.lab.claims.dropout_scaling import DropoutScaling, _gaps, _masks
from normwise.layers import Dropout


@pytest.fixture(scope="module")
def result(digits):
    return DropoutScaling().run(0, digits, Budget(seeds=3, length=0.2))


def test_the_claim_holds(result):
    assert result.verdict == "holds"
    *exact, share, slope = result.numbers
    assert max(number.estimate for number in exact) < 1e-12
    assert 0.01 < share.estimate < 0.5
    assert slope.estimate == pytest.approx(-0.5, abs=0.06)


def test_masks_have_their_probabilities():
    masks, shares = _masks()
    assert masks.unique(dim=0).shape == (1024, 10)
    assert shares.sum().item() == pytest.approx(1)
    kept = shares @ masks
    assert torch.allclose(kept, torch.full_like(kept, 0.7))
    assert shares[masks.sum(1) == 9][0].item() == pytest.approx(0.7**9 * 0.3)


def test_the_gap_by_loops():
    """The network with ReLU behind, mask by mask in plain Python."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(6, 10), nn.ReLU(), nn.Dropout(0.3),
        nn.Linear(10, 4), nn.ReLU(), nn.Linear(4, 2),
    )  # fmt: skip
    x = torch.randn(3, 6)
    found = _gaps(net, x)
    net = net.double().eval()
    hidden = net[:3](x.double())
    mean, square = torch.zeros(3, 2).double(), torch.zeros(3, 2).double()
    for mask in itertools.product((0, 1), repeat=10):
        share = math.prod(0.7 if keep else 0.3 for keep in mask)
        output = net[4:](hidden * torch.tensor(mask) / 0.7)
        mean, square = mean + share * output, square + share * output**2
    gap = net(x.double()) - mean
    spread = square - mean**2
    assert found["1/(1 − p) in training"] == pytest.approx(gap.abs().max().item())
    assert found["share"] == pytest.approx((gap.square().sum() / spread.sum()).sqrt().item())


def test_erratum_9_p_is_the_probability_to_zero():
    """At p = 0.2 torch keeps four fifths, and divides by 1 − p; so do both of our scalings."""
    torch.manual_seed(0)
    ones = torch.ones(100_000)
    y = nn.Dropout(0.2)(ones)
    assert (y == 0).float().mean().item() == pytest.approx(0.2, abs=0.005)
    assert y.max().item() == pytest.approx(1 / 0.8)
    assert y.mean().item() == pytest.approx(1, abs=0.01)
    classic = Dropout(0.2, scaling="classic")
    assert (classic(ones) == 0).float().mean().item() == pytest.approx(0.2, abs=0.005)
    assert classic.eval()(ones).unique().tolist() == pytest.approx([0.8])
    assert "1 − p is the probability to keep" in ERRATA[9].right
