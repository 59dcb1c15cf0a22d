"""A trace, and anything else run `undisturbed`, leaves a network as it was."""

import copy
from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from normwise.trace import trace, undisturbed


class Raises(nn.Module):
    def forward(self, x):
        raise RuntimeError("on purpose")


class Counts(nn.Module):
    """Replaces one buffer, and the data of a parameter, as some max-norm layers do."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("steps", torch.tensor(0))
        self.register_buffer("last", None)
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.calls = 0

    def forward(self, x):
        self.steps = self.steps + 1
        self.last = x.mean()
        self.scale.data = self.scale.data.clamp(max=1)
        self.calls, self.seen = self.calls + 1, x
        return x * self.scale


PIECES = {
    "linear": lambda: nn.Linear(6, 6),
    "batch": lambda: nn.BatchNorm1d(6),
    "frozen": lambda: nn.BatchNorm1d(6).eval(),
    "layer": lambda: nn.LayerNorm(6),
    "dropout": lambda: nn.Dropout(0.5),
    "relu": lambda: nn.ReLU(inplace=True),
    "spectral": lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(6, 6)),
    "counts": Counts,
}


def snapshot(network: nn.Module) -> list:
    state = [(name, id(v), v.clone()) for name, v in network.named_parameters()]
    state += [(name, id(v), v.clone()) for name, v in network.named_buffers()]
    modules = [
        (path, type(m), m.training, list(m._forward_hooks), list(m._forward_pre_hooks))
        for path, m in network.named_modules()
    ]
    attributes = [(sorted(vars(m)), getattr(m, "calls", None)) for m in network.modules()]
    grads = [p.grad for p in network.parameters()]
    return [state, modules, attributes, grads, torch.get_rng_state()]


def same(a, b) -> bool:
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


@settings(max_examples=40)
@given(
    st.lists(st.sampled_from(sorted(PIECES)), min_size=1, max_size=7), st.booleans(), st.booleans()
)
def test_a_trace_leaves_no_trace(pieces, raises, dropout):
    torch.manual_seed(0)
    layers = [PIECES[piece]() for piece in pieces] + ([Raises()] if raises else [])
    net = nn.Sequential(*layers)
    net[0].register_forward_hook(lambda module, inputs, output: None)
    example, before = torch.randn(5, 6), snapshot(net)
    inputs = example.clone()
    with pytest.raises(RuntimeError, match="on purpose") if raises else nullcontext():
        trace(net, example, lambda *_: None, dropout=dropout)
    assert same(before, snapshot(net))
    assert torch.equal(example, inputs)


def test_a_network_trains_on_as_if_nothing_had_happened():
    torch.manual_seed(0)
    net = nn.Sequential(*(PIECES[p]() for p in ("linear", "batch", "dropout", "relu", "linear")))
    twin = copy.deepcopy(net)
    x = torch.randn(8, 6)
    results = []
    for network, look in ((net, True), (twin, False)):
        torch.manual_seed(1)
        loss = network(x).square().sum()
        if look:
            trace(network, x)
        loss.backward()
        results.append([loss, *(p.grad for p in network.parameters()), network(x)])
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


def test_a_pending_backward_pass_in_evaluation_mode_survives():
    # There it needs the running statistics as they were in its forward pass.
    net = nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 1)).eval()
    x = torch.randn(8, 6, requires_grad=True)
    out = net(x).sum()
    with undisturbed(net):
        net(x)
    out.backward()
    assert x.grad is not None


def test_modes_are_restored_one_by_one():
    net = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6).eval(), nn.Linear(6, 1))
    with undisturbed(net):
        net.eval()
        net[1].train()
    assert [module.training for module in net.modules()] == [True, True, False, True]


def test_random_state_is_restored_when_the_body_raises():
    def draw_and_fail():
        with undisturbed(nn.Identity()):
            F.dropout(torch.ones(5))
            raise KeyError

    before = torch.get_rng_state()
    with pytest.raises(KeyError):
        draw_and_fail()
    assert torch.equal(before, torch.get_rng_state())


def test_not_a_number_is_restored():
    norm = nn.BatchNorm1d(1)
    norm.running_mean.fill_(float("nan"))
    with undisturbed(norm):
        norm.running_mean.fill_(0)
    assert norm.running_mean.isnan().all()


def test_a_lazy_module_is_made_and_its_buffers_are_fresh():
    net = nn.Sequential(nn.LazyLinear(5), nn.LazyBatchNorm1d(), nn.ReLU(), nn.LazyLinear(2))
    state = torch.get_rng_state()
    trace(net, torch.randn(4, 6, generator=torch.Generator().manual_seed(0)))
    assert net[0].weight.shape == (5, 6)
    assert torch.equal(state, torch.get_rng_state())
