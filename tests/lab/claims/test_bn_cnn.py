import numpy as np
import pytest

import normwise as nw
from normwise.lab.claims.bn_cnn import BnCnn, _network


def test_moments_per_channel_and_the_loss(digits):
    result = BnCnn().run(4, digits, nw.lab.Budget(seeds=2, length=0.1))
    gain, error, elsewhere = (each.estimate for each in result.numbers)
    assert error < 1e-12
    assert elsewhere > 0.01, "positions by themselves are not normalised"
    assert result.verdict == "inconclusive", "two seeds decide nothing"
    assert gain < 0
    dots = result.figures[0].table.set_index(["series", "row"])
    np.testing.assert_allclose(dots.loc["after"]["estimate"], 0, atol=1e-12)
    np.testing.assert_allclose(dots.loc["after"]["high"], 1, atol=0.01)
    assert dots.loc["before"]["estimate"].abs().max() > 0.01


@pytest.mark.parametrize("norm", [False, True])
def test_the_network_is_the_lectures(digits, norm: bool):
    net = _network(digits, norm)()
    kinds = [type(part).__name__ for part in net if type(part).__name__ not in ("ReLU", "Flatten")]
    middle = ["BatchNorm2d"] if norm else []
    assert kinds == ["Conv2d", "MaxPool2d", "Conv2d", *middle, "MaxPool2d", "Linear", "Linear"]
    assert net(digits.train.x[:3]).shape == (3, 10)
