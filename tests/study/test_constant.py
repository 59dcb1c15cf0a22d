"""The score of a constant prediction, against scikit-learn's dummies."""

import numpy as np
import pytest
import torch
from sklearn.dummy import DummyClassifier, DummyRegressor

import normwise as nw
from normwise.study.constant import constant_score


def test_the_share_of_the_most_frequent_class():
    labels = np.random.default_rng(0).choice([3, 5, 9], 200, p=[0.2, 0.7, 0.1])
    data = nw.data.load((np.ones((200, 2)), labels))
    x, y = np.zeros((len(data.test), 1)), data.test.y.numpy()
    expected = DummyClassifier().fit(x, y).score(x, y)
    assert constant_score(data, "acc") == pytest.approx(expected, rel=1e-12)


def test_the_mean_has_an_r2_of_0():
    data = nw.data.load((np.ones((50, 2)), np.linspace(0.0, 1.0, 50)))
    x, y = np.zeros((len(data.test), 1)), data.test.y.numpy()
    assert constant_score(data, "r2") == DummyRegressor().fit(x, y).score(x, y) == 0


def test_nothing_is_known_of_other_metrics_and_of_several_heads():
    x, labels = torch.randn(40, 2), torch.arange(40) % 2
    assert constant_score(nw.data.load((x, labels)), "f1") is None
    assert constant_score(nw.data.load((x, {"a": labels, "b": x[:, 0]})), "score") is None
