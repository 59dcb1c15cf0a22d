"""Every activation that torch.nn has is known, under its module's and its functions' names."""

import torch
import torch.nn.functional as F
from torch import nn

from normwise.trace.functions import ACTIVATIONS, BOUNDS, RECTIFIERS, is_weighted


def test_aliases_share_a_name():
    for holder in (F, torch, torch.Tensor):
        assert ACTIVATIONS[holder.relu] == ACTIVATIONS[holder.relu_] == "relu"
    assert ACTIVATIONS[F.gelu] == "gelu"
    assert F.softmax not in ACTIVATIONS


def test_torchs_elementwise_activations_are_known():
    left_out = {"Softmax", "Softmax2d", "Softmin", "LogSoftmax", "GLU", "MultiheadAttention"}
    names = set(nn.modules.activation.__all__) - left_out
    assert {name.lower() for name in names} <= {
        name.replace("_", "") for name in set(ACTIVATIONS.values())
    }


def test_bounds_and_rectifiers_are_what_the_functions_do():
    far = torch.tensor([-1e4, 1e4], dtype=torch.float64)
    for name, bounds in BOUNDS.items():
        function = getattr(F, name)
        torch.testing.assert_close(function(far), torch.tensor(bounds).double(), atol=1e-3, rtol=0)
    for name in RECTIFIERS - {"threshold"}:
        assert getattr(F, name)(far)[0] == 0


def test_products_count_where_a_parameter_is_in_them():
    x, weight = torch.ones(2, 2), nn.Parameter(torch.ones(2, 2))
    assert is_weighted(torch.matmul, (x, weight))
    assert not is_weighted(torch.matmul, (x, x))
    assert is_weighted(F.linear, (x, x))
    assert not is_weighted(torch.add, (x, weight))
