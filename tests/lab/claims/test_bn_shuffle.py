import numpy as np
import pytest

import normwise as nw
from normwise import stats
from normwise.lab import Budget
from normwise.lab.claims.bn_shuffle import BnShuffle, _notes, _whole_batches


@pytest.fixture(scope="module")
def result(digits):
    return BnShuffle().run(3, digits, Budget(1, 0.15))


def test_the_numbers_are_those_of_the_same_comparison(digits, result):
    whole = _whole_batches(digits, 64)
    assert len(whole.train) == 1088
    setting = {"seeds": [3], "epochs": 4, "batch_size": 64, "lr": 0.05, "stack": 1}
    accuracy = {}
    for order in ("shuffled", "sorted"):
        frame = nw.compare(None, whole, ["plain", "batch"], order=order, **setting).frame()
        accuracy[order] = frame.groupby("variant")["test_acc"].mean()
        for variant in ("plain", "batch"):
            found = result.number(f"test accuracy, {order}", variant).estimate
            assert found == pytest.approx(accuracy[order][variant])
    lost = accuracy["sorted"] - accuracy["shuffled"]
    for variant in ("plain", "batch"):
        found = result.number("change of accuracy, sorted", variant).estimate
        assert found == pytest.approx(lost[variant])
    more = result.number("change of accuracy, sorted", "batch − plain").estimate
    assert more == pytest.approx(lost["batch"] - lost["plain"])
    assert result.verdict == "inconclusive"  # a single run


def test_the_dots_are_the_numbers(result):
    drawn = result.figures[1].table.set_index(["row", "series"])["estimate"]
    for order in ("shuffled", "fixed", "sorted"):
        for variant in ("plain", "batch"):
            number = result.number(f"test accuracy, {order}", variant).estimate
            assert drawn[order, variant] == number


def test_a_loss_too_small_to_matter_is_told():
    small, large = (stats.paired(-size * np.arange(1.0, 8), np.zeros(7)) for size in (1e-4, 0.1))
    assert "batch norm by -0.0004" in _notes(small)[0]
    assert _notes(large) == []
