import pytest
import torch
import torch.nn.functional as F
from torch import nn

from normwise.errors import UsageError
from normwise.layers import DropConnect, drop_connect

FORWARDS = {
    "linear": (nn.Linear(6, 5), F.linear, (7, 6)),
    "conv": (nn.Conv1d(3, 4, 2), F.conv1d, (7, 3, 9)),
    "transposed": (nn.ConvTranspose2d(3, 4, 2), F.conv_transpose2d, (2, 3, 4, 4)),
}


@pytest.mark.parametrize("kind", FORWARDS)
def test_weights_are_dropped_and_biases_are_not(kind: str):
    layer, function, shape = FORWARDS[kind]
    x = torch.randn(shape)
    drop_connect(layer, 0.4)
    torch.manual_seed(3)
    found = layer(x)
    torch.manual_seed(3)
    mask = torch.empty_like(layer.weight).bernoulli_(0.6) / 0.6
    torch.testing.assert_close(found, function(x, layer.weight * mask, layer.bias))
    torch.testing.assert_close(layer.eval()(x), function(x, layer.weight, layer.bias))


def test_recurrent_weights_share_a_mask_over_all_steps():
    torch.manual_seed(0)
    layer = drop_connect(nn.RNN(2, 5, bias=False), 0.5)
    assert layer.state_dict().keys() == {"weight_ih_l0", "weight_hh_l0"}
    x = torch.randn(6, 3, 2)
    torch.manual_seed(3)
    found = layer(x)[0]
    torch.manual_seed(3)
    mask = torch.empty(5, 5).bernoulli_(0.5) * 2
    h, expected = torch.zeros(3, 5), []
    for step in x:
        h = torch.tanh(step @ layer.weight_ih_l0.T + h @ (layer.weight_hh_l0 * mask).T)
        expected.append(h)
    torch.testing.assert_close(found, torch.stack(expected))


def test_cells_and_attention():
    cell = drop_connect(nn.GRUCell(3, 4), 1.0)
    plain = nn.GRUCell(3, 4)
    plain.load_state_dict(cell.state_dict())
    with torch.no_grad():
        plain.weight_hh.zero_()
    x, h = torch.randn(2, 3), torch.randn(2, 4)
    torch.testing.assert_close(cell(x, h), plain(x, h))
    attention = drop_connect(nn.MultiheadAttention(4, 2, bias=False), 1.0, ["in_proj_weight"])
    assert not attention(x[:, None, :1].expand(2, 1, 4), *[torch.ones(2, 1, 4)] * 2)[0].any()


def test_classic_scaling_multiplies_the_weight_in_evaluation():
    layer = drop_connect(nn.Linear(3, 2, bias=False), 0.25, scaling="classic").eval()
    x = torch.randn(4, 3)
    torch.testing.assert_close(layer(x), x @ layer.weight.T * 0.75)


def test_only_dropped_connections_have_no_gradient():
    torch.manual_seed(0)
    layer = drop_connect(nn.Linear(30, 20), 0.3)
    layer(torch.rand(5, 30) + 1).sum().backward()
    assert abs((layer.weight.grad == 0).double().mean() - 0.3) < 0.1


def test_p_is_checked_and_the_module_left_alone():
    layer = nn.Linear(2, 2)
    with pytest.raises(UsageError, match=r"DropConnect\(p=2\): p lies between 0 and 1"):
        drop_connect(layer, 2)
    assert not layer._modules
    assert not layer._forward_pre_hooks
    assert isinstance(drop_connect(layer, 0.1).drop_connect, DropConnect)
