import itertools

import numpy as np
import pytest
import torch

from normwise.edit import initialize
from normwise.lab import ERRATA, Budget
from normwise.lab.claims.init_he import InitHe
from normwise.study import mlp


@pytest.fixture(scope="module")
def result(digits):
    return InitHe().run(0, digits, Budget(1, 0.5))


def test_he_learns_where_xavier_stalls(result):
    found = {number.of: number.estimate for number in result.numbers if "accuracy" in number.what}
    for layers in (22, 30):
        assert found[f"Xavier, {layers} layers"] < 0.3 < found[f"He, {layers} layers"]
    assert result.verdict == "inconclusive"  # a single run


def test_the_scale_of_every_layer_is_the_networks(result, digits):
    """By the network's own forward pass; from Xavier's weights it falls by about √½ a layer."""
    factor = "standard deviation, factor per layer"
    assert result.number(factor, "Xavier, 30 layers").estimate == pytest.approx(0.5**0.5, abs=0.05)
    assert result.number(factor, "He, 30 layers").estimate == pytest.approx(1, abs=0.07)
    drawn = result.figures[1].table.query("series == 'He'").set_index("x")["y"]
    assert list(drawn.index) == list(range(1, 30))
    ratio = drawn[29] / drawn[1]
    assert ratio ** (1 / 28) == pytest.approx(result.number(factor, "He, 30 layers").estimate)


def test_hes_variance_by_a_wide_layer(digits):
    """Var(y_l) = n Var(w) E[x²], with E[x²] = Var(y) / 2 for centred y before ReLU."""
    make = mlp(digits, (4000, 4000))
    network = initialize(make(), "he", generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        y = network[1](torch.randn(64, 64))
        x = y.relu()
        assert x.square().mean().item() == pytest.approx(y.var().item() / 2, rel=0.02)
        assert network[3](x).var().item() == pytest.approx(y.var().item(), rel=0.02)


def test_the_variance_of_a_product():
    """Erratum 11, exactly: two independent variables with a few values each, means not zero."""
    w, x = np.array([-1.0, 0.5, 2.0]), np.array([0.0, 1.0, 3.0, 5.0])
    products = np.array([a * b for a, b in itertools.product(w, x)])
    three = w.mean() ** 2 * x.var() + x.mean() ** 2 * w.var() + w.var() * x.var()
    assert products.var() == pytest.approx(three)
    assert w.var() * x.var() < 0.5 * products.var()  # what was printed
    centred, half = w - w.mean(), x.clip(min=0)
    products = np.array([a * b for a, b in itertools.product(centred, half)])
    assert products.var() == pytest.approx(centred.var() * (half**2).mean())
    assert "E[w]²Var(x) + E[x]²Var(w) + Var(w)Var(x)" in ERRATA[11].right


def test_relu_halves_the_second_moment_of_what_is_centred_only():
    """Erratum 11: E[z] = 0 gives E[max(0, z)²] = Var(z) / 2, and E[z] = 1 far more."""
    z = np.random.default_rng(0).normal(size=200_000)
    z = np.concatenate([z, -z])
    assert (z.clip(min=0) ** 2).mean() == pytest.approx(z.var() / 2)
    assert ((z + 1).clip(min=0) ** 2).mean() > 1.5 * z.var()
    assert "E[z] = 0" in ERRATA[11].right
