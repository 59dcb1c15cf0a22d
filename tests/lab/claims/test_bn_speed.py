import numpy as np

import normwise as nw
from normwise.lab.claims.bn_speed import BnSpeed


def test_the_numbers_are_those_of_the_same_comparison(digits, short):
    result = BnSpeed().run(3, digits, short)
    assert result.verdict == "holds"
    setting = {"epochs": 6, "batch_size": 64, "lr": 0.01, "evaluate_every": 5}
    study = nw.compare(data=digits, seeds=range(3, 9), stack=1, workers=1, **setting)
    frame = study.frame().set_index(["variant", "seed"])
    difference = frame.loc["batch"]["train_loss"] - frame.loc["plain"]["train_loss"]
    np.testing.assert_allclose(result.numbers[0].estimate, difference.mean(), rtol=1e-4)
    arrived = frame["steps_to_target"].fillna(study.results.budget).clip(lower=5)
    steps = arrived.groupby("variant").median()
    assert result.numbers[1].estimate == steps["batch"] / steps["plain"]
    assert result.numbers[2].estimate == 6
    drawn = result.figures[0].table
    last = drawn[drawn["series"] == "batch"].iloc[-1]
    np.testing.assert_allclose(last["y"], frame.loc["batch"]["train_loss"].mean(), rtol=1e-4)
    assert last["low"] < last["y"] < last["high"]
