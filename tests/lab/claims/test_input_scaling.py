import numpy as np
import pytest
import torch

from normwise.lab import ERRATA, Budget
from normwise.lab.claims.input_scaling import InputScaling


@pytest.fixture(scope="module")
def result(digits):
    return InputScaling().run(0, digits, Budget(seeds=2, length=0.25))


def value(result, what: str) -> float:
    return result.number(what).estimate


def test_the_condition_of_both_problems(result):
    """Uniform in ±a has the variance a²/3: raw, the eigenvalues are as 200² to 10²."""
    assert value(result, "λmax / λmin, raw") == pytest.approx(400, rel=0.15)
    assert value(result, "λmax / λmin, standardised") == pytest.approx(1, abs=0.15)


def test_who_arrives(result):
    assert value(result, "seeds that arrive, standardised") == 2
    assert value(result, "median steps, standardised") == 8  # the first evaluation
    assert value(result, "median steps, raw") == 6 * 32  # of which nothing is left: they count all
    assert value(result, "seeds that arrive, raw") == 0
    assert result.notes[0].startswith("2 of 2 raw runs do not arrive within 192 steps")


def test_the_raw_weight_creeps_as_its_eigenvalue_says(result):
    """1 − w₂ falls by the factor 1 − λmin/(2 λmax) per step; w₁ halves its distance."""
    path = result.figures[1].table
    raw = path[path["series"] == "raw"]
    left = 1 - raw["y"].to_numpy()
    rate = 1 - 0.5 / value(result, "λmax / λmin, raw")
    np.testing.assert_allclose(left[-1], left[0] * rate ** raw["step"].iloc[-1], rtol=0.1)
    assert abs(raw["x"].iloc[-1] - 1) < 0.3
    standardised = path[path["series"] == "standardised"][["x", "y"]].iloc[-1]
    np.testing.assert_allclose(standardised, 1, atol=0.1)
    assert path.groupby("series")[["x", "y"]].first().nunique().tolist() == [1, 1]  # the same start


def test_erratum_8_momentum_starts_from_zero():
    """torch's first step is η·g₁; from m₀ = g and another addition it would be 1.9 times that."""
    w = torch.tensor([3.0], requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.1, momentum=0.9)
    (w**2 / 2).sum().backward()  # g = w = 3
    optimizer.step()
    assert w.item() == pytest.approx(3 - 0.1 * 3)
    assert optimizer.state[w]["momentum_buffer"].item() == 3
    printed = 0.9 * 3 + 3  # m₁ = μ·m₀ + g with m₀ = g
    assert printed == pytest.approx(1.9 * 3)
    assert "m₀ = 0" in ERRATA[8].right


def test_erratum_8_the_gradient_of_the_l2_term():
    w = torch.tensor([1.0, -2.0], requires_grad=True)
    (gradient,) = torch.autograd.grad(0.1 * (w**2).sum(), w)
    assert torch.allclose(gradient, 2 * 0.1 * w)
    assert "2λw" in ERRATA[8].right
