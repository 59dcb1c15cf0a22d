import pytest
import torch

import normwise as nw
from normwise.lab import ERRATA
from normwise.lab.claims.bn_backward import _equations


def forward(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Batch normalization as the paper's algorithm 1 has it, with 1/m."""
    m = len(x)
    mean = x.sum(0) / m
    var = ((x - mean) ** 2).sum(0) / m
    return weight * (x - mean) / (var + 1e-5) ** 0.5


def difference_quotient(x: torch.Tensor, weight: torch.Tensor, grad: torch.Tensor):
    """Return the gradient of Σ grad·y by x, entry by entry."""
    step, found = 1e-6, torch.empty_like(x)
    for i in range(x.numel()):
        move = torch.zeros_like(x)
        move.view(-1)[i] = step
        change = forward(x + move, weight) - forward(x - move, weight)
        found.view(-1)[i] = (grad * change).sum() / (2 * step)
    return found


@pytest.fixture
def batch():
    torch.manual_seed(0)
    x, grad = torch.randn(2, 6, 3, dtype=torch.float64)
    return x, torch.tensor([0.5, 2.0, -1.0], dtype=torch.float64), grad


def test_erratum_2_the_equations_with_m_are_the_gradient(batch):
    x, weight, grad = batch
    expected = difference_quotient(*batch)
    assert torch.allclose(_equations(*batch)[0], expected, atol=1e-8)
    printed = _equations(*batch, less=1)[0]
    assert (printed - expected).abs().max() > 1e-2
    # What is too much is the variance's part times 1/(m−1) − 1/m; the sum over x − μ is zero.
    centred = x - x.mean(0)
    by_var = -0.5 * (x.var(0, correction=0) + 1e-5) ** -1.5 * (grad * weight * centred).sum(0)
    assert torch.allclose(printed - expected, by_var * 2 * centred * (1 / 5 - 1 / 6), atol=1e-8)
    assert "1/m" in ERRATA[2].right


def test_the_claim_holds():
    result = nw.lab.run("bn-backward")
    assert result.verdict == "holds"
    right, short, network, printed = (number.estimate for number in result.numbers)
    assert max(right, short, network) < 1e-12
    assert printed > 1e-6
    errors = result.figures[0].table.set_index("series").loc["with 1/(m−1)", "y"]
    assert len(errors) == 8
    assert errors.iloc[-1] == printed
    assert errors.iloc[0] > 0.1  # of a gradient, in a batch of two
