import torch

import normwise as nw
from normwise.lab import ERRATA


def test_identity_by_the_formula_itself():
    """Erratum 1, without the layer: γ = σ, β = μ give x; the swapped γ = μ, β = σ give μ·x̂ + σ."""
    torch.manual_seed(0)
    x = 3 + 2 * torch.randn(64, 5, dtype=torch.float64)
    mean, std = x.mean(0), x.std(0, correction=0)
    normalised = (x - mean) / std
    assert torch.allclose(std * normalised + mean, x, rtol=1e-12)
    swapped = mean * normalised + std
    assert torch.allclose(swapped.mean(0), std)
    assert torch.allclose(swapped.std(0, correction=0), mean.abs())
    assert "γ = σ and β = μ" in ERRATA[1].right


def test_the_claim_holds():
    result = nw.lab.run("bn-identity")
    assert result.verdict == "holds"
    right, swapped = (each.estimate for each in result.numbers)
    assert right < 1e-13
    assert swapped > 0.1
    table = result.figures[0].table
    identity = table[table["series"] == "γ = σ, β = μ"]
    assert (identity["x"] - identity["y"]).abs().max() < 1e-12
