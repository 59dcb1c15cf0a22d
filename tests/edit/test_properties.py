"""Random networks, random edits: what should not change does not, and a refusal changes nothing."""

import copy

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from normwise.edit import (
    edits,
    freeze_norm,
    insert_dropout,
    insert_norm,
    recalibrate,
    remove_dropout,
    replace_norm,
    unfreeze_norm,
)
from normwise.errors import UsageError

KINDS = ("batch", "layer", "group", "instance", "rms")


class Block(nn.Module):
    """A layer, a norm of some kind, an activation, dropout of some make, perhaps a skip."""

    def __init__(self, size: int, images: bool, norm: str, drop: str, skip: bool) -> None:
        super().__init__()
        self.layer = nn.Conv2d(size, size, 1) if images else nn.Linear(size, size)
        self.norm = {
            "batch": nn.BatchNorm2d(size) if images else nn.BatchNorm1d(size),
            "layer": nn.GroupNorm(1, size) if images else nn.LayerNorm(size),
            "group": nn.GroupNorm(2, size),
            "none": nn.Identity(),
        }[norm]
        self.drop, self.dropped, self.skip = nn.Dropout(0.3), drop, skip

    def forward(self, x):
        y = F.relu(self.norm(self.layer(x)))
        y = self.drop(y) if self.dropped == "module" else y
        y = F.dropout(y, 0.3, self.training) if self.dropped == "function" else y
        return y + x if self.skip else y


BLOCKS = st.tuples(
    st.sampled_from(["batch", "batch", "layer", "group", "none"]),
    st.sampled_from(["none", "module", "function"]),
    st.booleans(),
)
NETWORKS = st.tuples(st.booleans(), st.lists(BLOCKS, min_size=1, max_size=3))
OTHERS = st.sampled_from(["rms", "instance", "group", "batch"])
EDITS = st.one_of(
    st.tuples(st.just("insert_norm"), st.sampled_from(KINDS), st.sampled_from([None, "1.*"])),
    st.tuples(st.just("replace_norm"), st.sampled_from(["batch", "layer", "group"]), OTHERS),
    st.tuples(st.just("insert_dropout"), st.just(0.4), st.sampled_from([None, "0.*"])),
    st.tuples(st.just("remove_dropout"), st.none(), st.sampled_from([None, "*drop"])),
    st.tuples(st.just("freeze_norm"), st.booleans(), st.sampled_from([None, "0.*"])),
    st.tuples(st.just("unfreeze_norm"), st.none(), st.none()),
    st.tuples(st.just("recalibrate"), st.booleans(), st.none()),
)
KEEP = {"insert_dropout", "remove_dropout", "freeze_norm", "unfreeze_norm"}


def build(network) -> tuple[nn.Sequential, torch.Tensor]:
    torch.manual_seed(0)
    images, blocks = network
    net = nn.Sequential(*(Block(4, images, *block) for block in blocks))
    net.extend([nn.Flatten(), nn.Linear(36 if images else 4, 2)])
    for norm in net.modules():
        if isinstance(norm, nn.modules.batchnorm._BatchNorm):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
    return net.double(), torch.randn(6, 4, *((3, 3) if images else ()), dtype=torch.float64)


def apply(net: nn.Module, edit, x: torch.Tensor) -> None:
    name, value, option = edit
    match name:
        case "insert_norm":
            insert_norm(net, value, x, num_groups=2, where=option)
        case "replace_norm":
            replace_norm(net, value, option, x)
        case "insert_dropout":
            insert_dropout(net, value, x, where=option)
        case "remove_dropout":
            remove_dropout(net, x, where=option)
        case "freeze_norm":
            freeze_norm(net, affine=value, where=option)
        case "unfreeze_norm":
            unfreeze_norm(net)
        case "recalibrate":
            recalibrate(net, x.split(3), exact=value)


def snapshot(net: nn.Module) -> list:
    tensors = [(n, id(t), t.tolist()) for n, t in (*net.named_parameters(), *net.named_buffers())]
    learning = [p.requires_grad for p in net.parameters()]
    modules = [
        (path, id(m), type(m), m.training, str(m), len(m._forward_hooks), len(m._forward_pre_hooks))
        for path, m in net.named_modules(remove_duplicate=False)
    ]
    attributes = [sorted(vars(m)) for m in net.modules()]
    return [tensors, learning, modules, attributes, torch.get_rng_state().tolist(), edits(net)]


@settings(max_examples=120)
@given(NETWORKS, st.lists(EDITS, min_size=1, max_size=4), st.booleans())
def test_every_edit_keeps_its_promise_or_changes_nothing(network, sequence, training):
    net, x = build(network)
    net.train(training)
    for edit in sequence:
        before, inputs, random = snapshot(net), x.clone(), torch.get_rng_state()
        expected = copy.deepcopy(net).eval()(x)
        try:
            apply(net, edit, x)
        except UsageError:
            assert snapshot(net) == before
            continue
        assert torch.equal(x, inputs)
        assert torch.equal(torch.get_rng_state(), random)
        assert len(edits(net)) > len(before[-1])
        assert net.training == training
        outputs = copy.deepcopy(net).eval()(x)
        assert outputs.isfinite().all()
        if edit[0] in KEEP:
            assert torch.equal(outputs, expected)
        if edit[0] == "recalibrate":
            statistics = ("running_mean", "running_var")
            same = [entry for entry in snapshot(net)[0] if not entry[0].endswith(statistics)]
            assert same == [entry for entry in before[0] if not entry[0].endswith(statistics)]
        if edit[0] == "remove_dropout" and edit[2] is None:
            torch.testing.assert_close(*(copy.deepcopy(net).train()(x) for _ in range(2)))


@settings(max_examples=40)
@given(NETWORKS)
def test_norms_replaced_back_and_forth_keep_their_scales(network):
    net, x = build(network)
    scales = {path: m.weight for path, m in net.named_modules() if hasattr(m, "running_mean")}
    if not scales:
        return
    replace_norm(net, "batch", "group", x)
    replace_norm(net, "group", "batch", x, where=list(scales))
    assert all(net.get_submodule(path).weight is scale for path, scale in scales.items())
