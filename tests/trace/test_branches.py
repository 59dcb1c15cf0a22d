"""Which sums are residual, and which module ends the branch."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from normwise.trace import branches
from normwise.trace.branches import _SCALE_ALONG


class Made(nn.Module):
    """A network whose forward is given."""

    def __init__(self, forward, **parts: nn.Module) -> None:
        super().__init__()
        self.made = forward
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x: Tensor) -> Tensor:
        return self.made(self, x)


def found(forward, **parts: nn.Module) -> list[tuple[str | None, str]]:
    seen = branches(Made(forward, **parts), torch.randn(4, 6))
    return [(branch.path, branch.unfit) for branch in seen]


def in_place(net, x):
    out = net.fc2(net.relu(net.fc(x)))
    out += x
    return out


@pytest.mark.parametrize(
    "forward",
    [
        lambda net, x: x + net.fc2(net.relu(net.fc(x))),
        lambda net, x: net.fc2(F.relu(net.fc(x))) + x,
        lambda net, x: torch.add(x, net.fc2(net.relu(net.fc(x)))),
        lambda net, x: net.fc2(net.fc(x)).add_(x).relu_(),
        in_place,
    ],
)
def test_a_sum_is_residual_however_it_is_written(forward):
    parts = {"fc": nn.Linear(6, 6), "fc2": nn.Linear(6, 6), "relu": nn.ReLU(inplace=True)}
    assert found(forward, **parts) == [("fc2", "")]


def test_the_innermost_module_ends_a_branch_and_never_a_sequential():
    parts = {"body": nn.Sequential(nn.Linear(6, 6), nn.ReLU())}
    assert found(lambda net, x: x + net.body(x), **parts) == [("body.1", "")]


def test_an_identity_may_end_what_a_function_computed():
    net = {"fc": nn.Linear(6, 6), "end": nn.Identity()}
    assert found(lambda net, x: x + net.end(F.relu(net.fc(x))), **net) == [("end", "")]


@pytest.mark.parametrize(
    "forward",
    [
        lambda net, x: net.fc(x) + net.fc2(x),  # neither depends on the other
        lambda net, x: net.fc(x) + 1,
        lambda net, x: x + x,
        lambda net, x: x + net.fc(x).mean(1, keepdim=True),  # of another shape
        lambda net, x: x * net.fc(x),
        lambda net, x: x + net.fc(torch.ones_like(x).detach().clone() * 0 + 1)[:, :0].sum(),
    ],
)
def test_other_sums_are_not(forward):
    assert found(forward, fc=nn.Linear(6, 6), fc2=nn.Linear(6, 6)) == []


@pytest.mark.parametrize(
    "forward",
    [
        lambda net, x: x + F.relu(net.fc(x)),
        lambda net, x: x + net.fc(x).relu_(),
        lambda net, x: x + F.relu(net.fc(x), inplace=True),
        lambda net, x: x + F.dropout(F.leaky_relu(net.fc(x), 0.1), 0.2, net.training),
    ],
)
def test_a_function_that_scales_along_may_follow(forward):
    assert found(forward, fc=nn.Linear(6, 6)) == [("fc", "")]


@pytest.mark.parametrize("factor", [0.0, 1.25, 2.0])
def test_functions_that_scale_along_do(factor: float):
    x = torch.randn(50, dtype=torch.float64)
    for function in _SCALE_ALONG:
        torch.manual_seed(0)
        expected = factor * function(x.clone())
        torch.manual_seed(0)
        torch.testing.assert_close(function(factor * x), expected, rtol=1e-15, atol=0)


def half_used(net, x):
    out = F.relu(net.fc(x))
    return (x + out) * out


UNFIT = {
    "it ends in a function": lambda net, x: x + torch.tanh(net.fc(x)),
    "it ends in a function,": half_used,
    "it ends in a function, not": lambda net, x: x + F.relu(net.fc(x) * 2),
    "fc is called 2 times": lambda net, x: x + net.fc(net.fc(x)),
    "the output of fc is used elsewhere": lambda net, x: (x + (y := net.fc(x))) * y,
}


@pytest.mark.parametrize("reason", UNFIT)
def test_why_a_branch_cannot_be_dropped_where_it_ends(reason: str):
    [(_, unfit)] = found(UNFIT[reason], fc=nn.Linear(6, 6))
    assert unfit.startswith(reason)


def test_a_tensor_that_is_handed_out_is_used_elsewhere():
    seen = branches(
        Made(lambda net, x: (x + (y := net.fc(x)), y), fc=nn.Linear(6, 6)), torch.ones(2, 6)
    )
    assert [branch.unfit for branch in seen] == ["the output of fc is used elsewhere, too"]


def test_torchs_own_transformer_layers():
    encoder = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2, enable_nested_tensor=False
    )
    seen = branches(encoder, torch.randn(3, 5, 8))
    assert [b.path for b in seen] == [f"layers.{n}.dropout{k}" for n in (0, 1) for k in (1, 2)]
    assert {b.shape for b in seen} == {(3, 5, 8)}
    assert not any(b.unfit for b in seen)


def test_the_network_is_left_as_it_was():
    net = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Dropout()).eval()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    random = torch.get_rng_state()
    branches(net, torch.randn(4, 6, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(torch.get_rng_state(), random)
    assert not net.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert not any(module._forward_hooks for module in net.modules())
