import pytest
import torch
import torch.nn.functional as F

import normwise as nw
from normwise.lab import Budget
from normwise.lab.batches import first_batch
from normwise.lab.claims.bn_batch_size import BnBatchSize, _loss, noise_of_statistics

GAP = "gap, test − training loss"


def test_the_numbers_are_those_of_the_same_comparison(digits):
    result = BnBatchSize().run(3, digits, Budget(1, 0.1))
    losses = {}

    def look(network):
        losses["train"] = F.cross_entropy(network(digits.train.x), digits.train.y).item()
        return {}

    study = nw.compare(
        None,
        digits,
        ["ghost=8"],
        seeds=[3],
        epochs=4,
        batch_size=256,
        lr=0.1,
        stack=1,
        evaluate_every=10**6,
        measure=look,
    )
    row = study.frame().iloc[0]
    expected = row["test_loss"] - losses["train"]
    assert result.number(GAP, "8 samples").estimate == pytest.approx(expected, rel=1e-3, abs=1e-4)
    assert result.number("test accuracy", "8 samples").estimate == pytest.approx(row["test_acc"])
    gaps = {size: result.number(GAP, f"{size} samples").estimate for size in (16, 256)}
    found = result.number(GAP, "16 − 256 samples").estimate
    assert found == pytest.approx(gaps[16] - gaps[256])
    assert result.verdict == "inconclusive"  # a single run


def test_the_noise_follows_the_formula():
    """Fair coins have a kurtosis of 1: a batch of two has variance 0 or 1/4, half the time each."""
    torch.manual_seed(0)
    coins = torch.randint(2, (4000, 16), dtype=torch.float64)
    by = noise_of_statistics(coins).set_index(["statistic", "size"])
    assert by.loc[("variance", 2), "formula"] == pytest.approx(0.5, rel=0.01)
    for size in (2, 16, 512):
        assert by.loc[("mean", size), "formula"] == pytest.approx(size**-0.5)
    # Uniform values have a kurtosis of 9/5: for large batches that is the root of 0.8 / m.
    by = noise_of_statistics(torch.rand(4000, 16, dtype=torch.float64))
    by = by.set_index(["statistic", "size"])
    assert by.loc[("variance", 512), "formula"] == pytest.approx((0.8 / 512) ** 0.5, rel=0.02)
    assert (by["measured"] / by["formula"] - 1).abs().max() < 0.05


def test_the_loss_is_that_of_the_whole_split(digits):
    torch.manual_seed(0)
    network = nw.study.mlp(digits)()
    whole = first_batch(digits, len(digits.train))
    expected = F.cross_entropy(network(digits.train.x), digits.train.y).item()
    assert _loss(network, whole) == pytest.approx(expected, rel=1e-6)
