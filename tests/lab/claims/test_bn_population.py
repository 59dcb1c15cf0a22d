import itertools
import math

import pytest
import torch
import torch.nn.functional as F

from normwise.lab import ERRATA, Budget
from normwise.lab.claims.bn_population import BnPopulation


@pytest.fixture(scope="module")
def result(digits):
    return BnPopulation().run(0, digits, Budget(seeds=5))


def test_the_claim_holds(result):
    assert result.verdict == "holds"
    right, plain, error = result.numbers
    assert plain.estimate == pytest.approx(7 / 8, abs=0.005)  # (m − 1)/m for m = 8
    assert right.estimate == pytest.approx(plain.estimate * 8 / 7)
    assert right.low <= right.estimate <= right.high
    assert error.estimate < 1e-12


def test_a_moving_average_is_as_far_off_as_its_noise(result):
    """The weights α(1−α)^k have the sum of squares α/(2−α); each batch has the variance σ²/m."""
    table = result.figures[0].table
    late = table[(table["series"] == "moving, α = 0.1") & (table["x"] > 100)]["y"].mean()
    noise = sum((0.1 * 0.9**k) ** 2 for k in range(1000)) / 8
    assert result.figures[0].level == pytest.approx(math.sqrt(noise))
    assert late == pytest.approx(math.sqrt(noise), rel=0.1)
    last = table[(table["series"] == "average of all") & (table["x"] == 200)]["y"].item()
    assert last == pytest.approx(1 / math.sqrt(200 * 8), rel=0.2)


def test_the_correction_is_exact_over_all_batches():
    """Every batch of 3 out of 4 values, drawn with replacement: the mean of σ² is Var·2/3."""
    values = torch.tensor([1.0, 2.0, 4.0, 9.0], dtype=torch.float64)
    batches = torch.tensor(list(itertools.product(values.tolist(), repeat=3)), dtype=torch.float64)
    expected = batches.var(1, correction=0).mean() * 3 / 2
    assert torch.isclose(expected, values.var(correction=0), rtol=1e-12)


def test_erratum_3_the_variance_needs_its_square():
    """Without it the sum is zero; and γ multiplies, β adds."""
    torch.manual_seed(0)
    x = 3 + torch.randn(64, 2, dtype=torch.float64)
    centred = x - x.mean(0)
    assert (centred.mean(0)).abs().max() < 1e-15
    assert torch.allclose((centred**2).mean(0), x.var(0, correction=0))
    gamma, beta = torch.tensor([[2.0, 3.0], [-1.0, 5.0]], dtype=torch.float64)
    y = F.batch_norm(x, None, None, gamma, beta, training=True)
    assert torch.allclose(y.mean(0), beta)
    assert torch.allclose(y.std(0, correction=0), gamma, rtol=1e-4)
    assert "(1/m)·Σ(x−μ)²" in ERRATA[3].right


def test_erratum_4_epsilon_belongs_under_the_root():
    """A constant feature divides by zero as printed; otherwise, ε shifts what is normalised."""
    eps = 1e-5
    constant, x = torch.full((8, 1), 7.0).double(), torch.randn(8, 1).double()
    printed = [(v - v.mean(0)) / v.var(0, correction=0).sqrt() + eps for v in (constant, x)]
    assert printed[0].isnan().all()
    assert printed[1].mean().item() == pytest.approx(eps, rel=0.1)
    right = [(v - v.mean(0)) / (v.var(0, correction=0) + eps).sqrt() for v in (constant, x)]
    for ours, value in zip(right, (constant, x), strict=True):
        theirs = F.batch_norm(value, None, None, training=True, eps=eps)
        assert torch.allclose(ours, theirs, atol=1e-12)
    assert "under the root" in ERRATA[4].right
