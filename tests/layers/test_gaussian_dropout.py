import math

import pytest
import torch

from normwise.errors import UsageError
from normwise.layers import GaussianDropout


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_noise_has_the_moments_of_dropout(p: float):
    torch.manual_seed(0)
    n = 200_000
    noise = GaussianDropout(p)(torch.full((n,), 2.0, dtype=torch.float64)) / 2
    variance = p / (1 - p)
    assert abs(noise.mean() - 1) < 5 * math.sqrt(variance / n)
    assert abs(noise.var() - variance) < 5 * variance * math.sqrt(2 / n)
    kurtosis = (noise - 1).pow(4).mean() / noise.var() ** 2
    assert abs(kurtosis - 3) < 5 * math.sqrt(96 / n)  # it is normal


def test_infinite_variance_is_refused():
    with pytest.raises(UsageError, match=r"p=1\): p lies in \[0, 1\)"):
        GaussianDropout(1)
    layer = GaussianDropout(0.5)
    layer.p = 1.0  # as a schedule may do
    with pytest.raises(UsageError, match=r"p=1\): p lies in \[0, 1\)"):
        layer(torch.ones(2))
    assert layer.eval()(torch.ones(2)).tolist() == [1.0, 1.0]
