import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from normwise.errors import UsageError
from normwise.layers import WeightStandardization, standardize_weight

LAYERS = {
    "linear": (nn.Linear(5, 3), F.linear, (4, 5), 0),
    "conv": (nn.Conv2d(2, 3, 2), F.conv2d, (4, 2, 5, 5), 0),
    "transposed": (nn.ConvTranspose1d(2, 3, 4), F.conv_transpose1d, (4, 2, 5), 1),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_every_unit_is_standardised(kind: str):
    layer, function, shape, unit = LAYERS[kind]
    layer.double()
    weight = layer.weight.detach().movedim(unit, 0)
    rows = weight.flatten(1)
    rows = (rows - rows.mean(1, keepdim=True)) / (
        rows.var(1, unbiased=False, keepdim=True) + 1e-3
    ).sqrt()
    x = torch.randn(shape, dtype=torch.float64)
    expected = function(x, rows.view_as(weight).movedim(0, unit), layer.bias)
    for training in (True, False):
        found = standardize_weight(copy.deepcopy(layer).train(training), eps=1e-3)(x)
        torch.testing.assert_close(found, expected)


def test_large_means_cost_no_digits():
    weight = torch.randn(4, 100)
    found = WeightStandardization()(weight + 1e3)
    torch.testing.assert_close(found, WeightStandardization()(weight), atol=1e-3, rtol=0)


def test_mistakes():
    with pytest.raises(UsageError, match=r"for Linear and convolutions, not for Bilinear"):
        standardize_weight(nn.Bilinear(2, 2, 2))
    with pytest.raises(UsageError, match=r"shape \(4, 1\) has one value per unit"):
        standardize_weight(nn.Linear(1, 4))
    with pytest.raises(UsageError, match="needs groups=1"):
        standardize_weight(nn.ConvTranspose1d(4, 4, 3, groups=2))
    with pytest.raises(UsageError, match="eps is 0 or more"):
        standardize_weight(nn.Linear(3, 4), eps=-1)
    with pytest.raises(UsageError, match="has a 'weight_standardization' already"):
        standardize_weight(standardize_weight(nn.Linear(3, 4)))
    with pytest.raises(UsageError, match=r"takes a weight of shape \(out, \*\), not \(\)"):
        WeightStandardization()(torch.tensor(1.0))
    with pytest.raises(UsageError, match=r"takes a weight of shape \(in, out, \*\), not \(3,\)"):
        WeightStandardization(transposed=True)(torch.ones(3))
