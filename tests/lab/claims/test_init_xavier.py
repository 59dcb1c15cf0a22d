import numpy as np
import pytest

from normwise.lab import Budget
from normwise.lab.claims.init_xavier import InitXavier


@pytest.fixture(scope="module")
def result(digits):
    return InitXavier().run(0, digits, Budget(seeds=3))


def factor(result, what: str, start: str) -> float:
    return result.number(f"variance per layer, {what}", start).estimate


def test_the_standard_initialization_keeps_a_third(result):
    """n·Var(W) = n·(2/√n)²/12 = 1/3, but for what tanh and its slope take from large values."""
    assert result.verdict == "holds"
    assert 0.9 / 3 < factor(result, "activations", "standard") < 1 / 3
    assert 0.9 / 3 < factor(result, "gradients", "standard") < 1.05 / 3


def test_the_normalised_one_loses_only_to_tanh(result):
    """n·Var(W) = 1: what is left is E[tanh² z] / Var(z) from layer to layer, by quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    weights = weights / weights.sum()
    rows = result.figures[0].table
    notes = rows[rows["column"] == "normalised"].groupby("row")["note"].first()
    first, *_, last = (float(note.removeprefix("std ")) for note in notes)
    variance = first**2
    for _ in range(4):
        variance = weights @ np.tanh(nodes * np.sqrt(variance)) ** 2
    assert last**2 == pytest.approx(variance, rel=0.15)
    assert factor(result, "activations", "normalised") == pytest.approx(
        (variance / first**2) ** (1 / 4), rel=0.05
    )


def test_each_layer_is_drawn_in_the_order_of_the_flow(result):
    up, down = (figure.table["row"].unique().tolist() for figure in result.figures)
    assert up == [f"layer {k}" for k in range(1, 6)]
    assert down == up[::-1]
