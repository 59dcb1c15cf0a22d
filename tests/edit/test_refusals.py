"""Random networks x random edits: done whole or not at all, and the head and its bias stay."""

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from normwise.edit import (
    NORMS,
    insert_dropout,
    insert_input_dropout,
    insert_norm,
    replace_activation,
)
from normwise.errors import UsageError
from normwise.trace import trace


class Block(nn.Module):
    """A layer, perhaps a norm, an activation of some make, perhaps dropout, perhaps a skip."""

    def __init__(self, kind: str, size: int, norm: bool, act: str, drop: str, skip: bool) -> None:
        super().__init__()
        self.layer = nn.Linear(size, size) if kind == "linear" else nn.Conv1d(size, size, 1)
        self.norm = nn.BatchNorm1d(size) if norm else nn.Identity()
        self.act, self.kind = nn.ReLU(inplace=True), act
        self.drop, self.dropped, self.skip = nn.Dropout(0.1), drop, skip

    def forward(self, x):
        y = self.norm(self.layer(x))
        y = y + x if self.skip else y
        if self.kind == "module":
            y = self.act(y)
        elif self.kind == "function":
            y = F.elu(y)
        elif self.kind == "shared":
            y = self.act(y) + self.act(self.layer(y))
        elif y.sum() > -1e9:  # "data"
            y = torch.tanh(y)
        if self.dropped == "function":
            y = F.dropout(y, 0.1, self.training)
        return self.drop(y) if self.dropped == "module" else y


BLOCKS = st.tuples(
    st.booleans(),
    st.sampled_from(["module", "module", "function", "shared", "data"]),
    st.sampled_from(["none", "none", "module", "function"]),
    st.booleans(),
)
NETWORKS = st.tuples(
    st.sampled_from(["linear", "conv"]), st.sampled_from([4, 6]), st.lists(BLOCKS, max_size=3)
)
EDITS = st.one_of(
    st.tuples(
        st.just(insert_norm),
        st.sampled_from(NORMS),
        st.fixed_dictionaries(
            {
                "num_groups": st.sampled_from([1, 2, 3, 4]),
                "placement": st.sampled_from(["before", "after"]),
            }
        ),
    ),
    st.tuples(st.just(insert_dropout), st.sampled_from([0.0, 0.5]), st.just({})),
    st.tuples(st.just(insert_input_dropout), st.just(0.5), st.just({})),
    st.tuples(st.just(replace_activation), st.sampled_from(["tanh", "gelu"]), st.just({})),
)


def build(network) -> tuple[nn.Sequential, torch.Tensor]:
    torch.manual_seed(0)
    kind, size, blocks = network
    layers = [Block(kind, size, *block) for block in blocks]
    tail = [nn.Flatten(), nn.Linear(size if kind == "linear" else 2 * size, 2), nn.Sigmoid()]
    return nn.Sequential(*layers, *tail), torch.randn(5, size, *(() if kind == "linear" else (2,)))


def snapshot(net: nn.Module) -> list:
    tensors = [(n, id(t), t.tolist()) for n, t in (*net.named_parameters(), *net.named_buffers())]
    modules = [
        (path, id(m), type(m), m.training, str(m), len(m._forward_hooks), len(m._forward_pre_hooks))
        for path, m in net.named_modules(remove_duplicate=False)
    ]
    attributes = [sorted(vars(m)) for m in net.modules()]
    return [tensors, modules, attributes, torch.get_rng_state().tolist()]


@settings(max_examples=100)
@given(NETWORKS, EDITS)
def test_done_whole_or_not_at_all(network, edit):
    net, x = build(network)
    insert, value, options = edit
    inputs, before = x.clone(), snapshot(net)
    head = net[-2]
    problems: tuple[str, ...] = ()
    try:
        insert(net, value, x, **options)
    except UsageError as error:
        problems = error.problems
    assert torch.equal(x, inputs)
    if problems:
        assert snapshot(net) == before
        return
    assert net[-2] is head
    assert head.bias is not None
    check(trace(net, x), insert, value, options)
    for training in (True, False):
        assert net.train(training)(x).isfinite().all()


def check(found, insert, value, options) -> None:
    if insert is insert_norm and options["placement"] == "before":
        assert all(layer.norm is not None for layer in found.hidden)
    elif insert is insert_norm:
        assert all(activation.norm is not None for activation in found.activations)
    elif insert is insert_dropout:
        assert all(activation.dropout is not None for activation in found.activations)
    elif insert is replace_activation:
        assert {activation.name for activation in found.activations} == {value}
