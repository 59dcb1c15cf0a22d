import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance
from torch import nn

import normwise as nw
from normwise.lab.claims import bn_distribution as claim


def test_the_drift_is_the_wasserstein_distance_in_standard_deviations():
    """A unit that moves by 3 std and one that doubles, against scipy on samples."""
    random = np.random.default_rng(0)
    first = random.normal(size=(4000, 2))
    second = np.stack([first[:, 0] + 3, first[:, 1] * 2], axis=1)
    moments = np.stack(
        [np.vstack([np.quantile(z, claim._LEVELS, axis=0), z.std(0)]).T for z in (first, second)]
    )
    expected = np.mean(
        [wasserstein_distance(first[:, u], second[:, u]) / first[:, u].std() for u in range(2)]
    )
    assert claim._summed(moments) == pytest.approx([0.0, expected], rel=0.02)


def test_the_quantiles_are_those_before_the_second_relu():
    torch.manual_seed(1)
    first, second = nn.Linear(6, 8), nn.Linear(8, 3)
    net = nn.Sequential(first, nn.ReLU(), second, nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 2))
    x = torch.randn(100, 6)
    found = claim._quantiles(x)(net)
    before = second(first(x).relu()).detach()
    normalised = (before - before.mean(0)) / (before.var(0, correction=0) + 1e-5).sqrt()
    for unit in range(3):
        expected = np.quantile(normalised[:, unit].numpy(), claim._LEVELS[7])
        assert found[f"unit {unit}, {claim._LEVELS[7]}"] == pytest.approx(expected, abs=1e-5)
        assert found[f"unit {unit}, std"] == pytest.approx(1, abs=1e-3)


def test_the_plain_network_moves_farther(digits):
    result = claim.BnDistribution().run(0, digits, nw.lab.Budget(seeds=3))
    ratio, plain, batch = (each.estimate for each in result.numbers)
    assert ratio == pytest.approx(batch / plain, rel=0.5)
    assert ratio < 0.8
    hills, curve = result.figures
    assert hills.table["row"].nunique() == 5
    last = curve.table[curve.table["x"] == curve.table["x"].max()].set_index("series")["y"]
    assert last["plain"] > last["batch"]
    assert "loss fell by 0." in result.notes[0]
