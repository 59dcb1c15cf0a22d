"""Small data and networks that train in milliseconds, and a report that costs nothing."""

from collections.abc import Callable

import numpy as np
import pytest
from torch import nn

from normwise.data import Data, load


def make_data(task: str, kind: str = "float32") -> Data:
    """Return 120 samples of 6 features: three classes, two, or values to predict."""
    random = np.random.default_rng(3)
    x = random.normal(size=(120, 6)).astype(kind)
    score = x[:, 0] + x[:, 1] * x[:, 2] + 0.3 * random.normal(size=120).astype(kind)
    y = {
        "classes": np.digitize(score, [-0.5, 0.5]),
        "binary": (score > 0).astype(int),
        "regression": score,
        "outputs": np.stack([score, x[:, 3] - score], 1),
    }[task]
    return load((x, y))


def make_net() -> nn.Module:
    """Return a perceptron for three classes."""
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


@pytest.fixture(scope="session")
def data() -> Callable[..., Data]:
    """Return `make_data`."""
    return make_data


@pytest.fixture(scope="session")
def net() -> Callable[[], nn.Module]:
    """Return `make_net`."""
    return make_net


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch):
    """Leave the drawing out, which takes seconds and is tested elsewhere."""
    monkeypatch.setattr("normwise.report.save_figures", lambda tables, folder: [])
    monkeypatch.setattr("normwise.report.study_page", lambda tables: f"<html>{tables.verdict}")
