import pytest
import torch

from normwise.errors import UsageError
from normwise.layers import DynamicTanh


@pytest.mark.parametrize(
    ("shape", "norm_shape", "last"),
    [((4, 5), 5, True), ((2, 3, 5), 5, True), ((2, 3, 5), (3, 5), True), ((2, 3, 4, 5), 3, False)],
)
def test_equals_the_formula(shape, norm_shape, last: bool):
    torch.manual_seed(0)
    layer = DynamicTanh(norm_shape, 0.7, last).double()
    with torch.no_grad():
        layer.weight.normal_()
        layer.bias.normal_()
    x = torch.randn(shape, dtype=torch.float64)
    weight, bias = (t.view(t.shape if last else (1, -1, 1, 1)) for t in (layer.weight, layer.bias))
    torch.testing.assert_close(layer(x), weight * torch.tanh(0.7 * x) + bias)
    assert layer.state_dict().keys() == {"alpha", "weight", "bias"}


def test_mistakes():
    with pytest.raises(UsageError, match=r"inputs with \(5,\) at the end.* \(5, 4\)"):
        DynamicTanh(5)(torch.ones(5, 4))
    with pytest.raises(UsageError, match=r"inputs with \(5,\) along axis 1.* \(5, 4\)"):
        DynamicTanh(5, channels_last=False)(torch.ones(5, 4))
    with pytest.raises(UsageError, match="give the number of channels alone"):
        DynamicTanh((3, 5), channels_last=False)
