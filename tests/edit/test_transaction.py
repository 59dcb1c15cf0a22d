import copy

import pytest
import torch
from torch import nn

from normwise.edit.transaction import all_or_nothing


def network() -> nn.Sequential:
    net = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.ReLU())
    net[0].register_forward_hook(lambda m, i, o: o + 1)
    return net


def half_an_edit(net: nn.Sequential) -> None:
    linear, norm = net[0], net[1]
    with all_or_nothing(net):
        net[2] = nn.Tanh()
        net.add_module("more", nn.Linear(3, 3))
        linear.register_parameter("bias", None)
        linear._forward_hooks.clear()
        linear.register_forward_pre_hook(lambda m, i: None)
        norm.register_buffer("running_mean", torch.ones(3))
        norm.register_buffer("passing", torch.ones(3), persistent=False)
        norm.__class__ = nn.BatchNorm2d
        norm.eps = 7
        net.extra = 1
        net.train()
        raise KeyboardInterrupt


def test_everything_is_put_back():
    net = network()
    x, hooks = torch.randn(4, 3), net[0]._forward_hooks
    expected, twin = net.eval()(x), copy.deepcopy(net)
    linear = net[0]
    with pytest.raises(KeyboardInterrupt):
        half_an_edit(net)
    assert torch.equal(net(x), expected)
    assert repr(net) == repr(twin)
    assert [type(m) for m in net.modules()] == [type(m) for m in twin.modules()]
    assert [list(vars(m)) for m in net.modules()] == [list(vars(m)) for m in twin.modules()]
    assert linear._forward_hooks is hooks
    assert net[1]._non_persistent_buffers_set == set()
    assert not net.training


def test_what_succeeds_stays():
    net = network()
    with all_or_nothing(net):
        net[2] = nn.Tanh()
    assert isinstance(net[2], nn.Tanh)
