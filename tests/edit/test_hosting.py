import copy
import pickle

import pytest
import torch
from torch import nn

from normwise.edit.hosting import dismiss, host_after, host_before
from normwise.edit.swapping import swap

X = torch.randn(3, 4)


def doubled() -> nn.Linear:
    """An identity that a host's output or input can be told apart by."""
    layer = nn.Linear(4, 4, bias=False)
    nn.init.eye_(layer.weight)
    layer.weight.data *= 2
    return layer


def test_guests_run_before_and_after_in_order():
    host = nn.Linear(4, 4)
    expected = host(X)
    host_before(host, "first", doubled())
    torch.testing.assert_close(host(X), expected + X @ host.weight.t())
    host_after(host, "norm", nn.LayerNorm(4))
    host_after(host, "scale", doubled())
    plain = nn.functional.linear(2 * X, host.weight, host.bias)
    torch.testing.assert_close(host(X), 2 * nn.functional.layer_norm(plain, (4,)))


def test_a_host_may_be_called_by_name():
    host = nn.Linear(4, 4)
    host_before(host, "first", doubled())
    torch.testing.assert_close(host(input=X), host(X))
    dismiss(host, "first")
    assert not host._forward_pre_hooks
    assert not host._forward_pre_hooks_with_kwargs
    torch.testing.assert_close(host(input=X), nn.functional.linear(X, host.weight, host.bias))


def test_names_that_are_taken_get_a_number():
    host = nn.Linear(4, 4)
    for name in ("norm", "norm", "weight", "forward"):
        host_after(host, name, nn.Identity())
    names = [name for name, _ in host.named_children()]
    assert names == ["norm", "norm_1", "weight_1", "forward_1"]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copy_has_guests_of_its_own(copied):
    host = nn.Linear(4, 4)
    host_after(host, "scale", doubled())
    host_before(host, "first", doubled())
    twin = copied(host)
    before = host(X)
    assert torch.equal(twin(X), before)
    twin.scale.weight.data.zero_()
    assert torch.equal(host(X), before)
    assert twin(X).abs().sum() == 0


def test_a_guest_takes_the_mode_of_its_host():
    host = nn.ReLU().eval()
    host_after(host, "dropout", nn.Dropout(0.9))
    assert torch.equal(host(X), X.relu())


def test_guests_move_to_a_successor():
    former, successor = nn.ReLU(), nn.Tanh()
    former.register_forward_hook(lambda module, inputs, output: None)
    host_after(former, "norm", nn.LayerNorm(4))
    host_after(former, "scale", doubled())
    net = nn.Sequential(former)
    swap(net, former, successor)
    expected = 2 * nn.functional.layer_norm(torch.tanh(X), (4,))
    torch.testing.assert_close(net(X), expected)


def test_swap_reaches_every_name():
    former, successor = nn.ReLU().eval(), nn.Tanh()
    net = nn.ModuleDict({"a": former, "b": nn.Sequential(former, nn.Sequential(nn.ReLU(), former))})
    swap(net, former, successor)
    assert net["a"] is net["b"][0] is net["b"][1][1] is successor
    assert isinstance(net["b"][1][0], nn.ReLU)
    assert not successor.training
