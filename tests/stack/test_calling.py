"""A forward with other tensors in the place of the network's own."""

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from normwise.stack.calling import call


class Odd(nn.Module):
    """One layer under two names, one weight in two layers, and buffers that the forward updates."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.c = nn.Linear(3, 3), nn.Linear(3, 3)
        self.b = self.a
        self.c.weight = self.a.weight
        self.register_buffer("total", torch.zeros(3))
        self.register_buffer("last", torch.zeros(3))
        self.register_buffer("nothing", None)

    def forward(self, x: Tensor) -> Tensor:
        self.total += x.sum(0)
        self.last = x[-1]
        return self.c(self.b(self.a(x)).tanh())


def test_outputs_gradients_and_updates():
    torch.manual_seed(0)
    network, x = Odd(), torch.randn(4, 3)
    before = {n: t.clone() for n, t in network.state_dict().items()}
    own = [*network.named_parameters(), *network.named_buffers()]
    values = {name: torch.randn_like(tensor) for name, tensor in own}
    weight, bias, last = (values[n].requires_grad_() for n in ("a.weight", "a.bias", "c.bias"))
    total, given = values["total"].clone(), dict(values)
    out = call(network, values, x)
    hidden = ((x @ weight.T + bias) @ weight.T + bias).tanh()
    expected = hidden @ weight.T + last
    torch.testing.assert_close(out, expected)
    leaves = [weight, bias, last]
    for ours, theirs in zip(
        torch.autograd.grad(out.square().sum(), leaves),
        torch.autograd.grad(expected.square().sum(), leaves),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)
    assert all(values[name] is tensor for name, tensor in given.items())
    torch.testing.assert_close(values["total"], total + x.sum(0))
    torch.testing.assert_close(values["last"], x[-1])
    for (name, tensor), (_, now) in zip(
        own, [*network.named_parameters(), *network.named_buffers()], strict=True
    ):
        assert now is tensor, name
        assert torch.equal(tensor, before[name])


def test_everything_is_back_after_an_error():
    network = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    own = dict(network.named_parameters())
    values = {name: torch.zeros_like(tensor) for name, tensor in own.items()}
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        call(network, values, torch.ones(2, 5))
    assert all(own[name] is tensor for name, tensor in network.named_parameters())


def test_it_is_functional_call_where_that_is_right():
    network, x = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5)), torch.randn(8, 3)
    values = {n: t.detach().clone() for n, t in network.state_dict().items()}
    theirs = {n: t.clone() for n, t in values.items()}
    torch.testing.assert_close(call(network, values, x), functional_call(network, theirs, (x,)))
    assert all(torch.equal(values[name], theirs[name]) for name in values)
