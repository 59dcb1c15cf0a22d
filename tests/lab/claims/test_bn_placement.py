import pytest

import normwise as nw
from normwise import stats
from normwise.lab import Budget
from normwise.lab.claims.bn_placement import BnPlacement, _judged

GAIN = "test accuracy, before − after"


def test_the_numbers_are_those_of_the_same_comparison(digits):
    result = BnPlacement().run(3, digits, Budget(1, 0.2))
    study = nw.compare(
        None,
        digits,
        ["batch+act=tanh", "batch:after+act=tanh"],
        seeds=[3],
        epochs=2,
        batch_size=64,
        lr=0.01,
        stack=1,
    )
    accuracy = study.frame().groupby("variant")["test_acc"].mean()
    before, after = accuracy["batch+act=tanh"], accuracy["batch:after+act=tanh"]
    assert result.number("test accuracy, before", "tanh").estimate == pytest.approx(before)
    assert result.number("test accuracy, after", "tanh").estimate == pytest.approx(after)
    assert result.number(GAIN, "tanh").estimate == pytest.approx(before - after)
    assert result.verdict == "inconclusive"
    losses = result.figures[0].table
    assert set(losses["panel"]) == {"relu", "tanh", "sigmoid"}
    last = losses.query("panel == 'tanh' and series == 'after'").iloc[-1]
    drawn = study.frame().groupby("variant")["train_loss"].mean()["batch:after+act=tanh"]
    assert last["y"] == pytest.approx(drawn, rel=1e-4)


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ([0.01, 0.02, 0.01, 0.03, 0.01, 0.02], "holds"),
        ([-0.01, -0.02, -0.01, -0.03, -0.01, -0.02], "fails"),
        ([-0.001, 0.002, -0.001, 0.001, 0.002, -0.002], "fails"),
        ([-0.01, 0.02, -0.01, 0.03, 0.01, -0.02], "inconclusive"),
    ],
)
def test_the_criterion(differences: list[float], verdict: str):
    assert _judged(stats.paired(differences, [0.0] * 6)) == verdict
