import copy
from itertools import product

import pytest
import torch
from torch import nn

from normwise.edit import edits, freeze_norm, replace_norm
from normwise.errors import UsageError
from normwise.layers import ChannelsLast

KINDS = ("batch", "layer", "group", "instance", "rms")
X = torch.randn(5, 3, 6, 5, dtype=torch.float64)


def conv(norm: nn.Module, bias: bool = True) -> nn.Sequential:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 2, bias=bias), norm, nn.ReLU(), nn.Conv2d(8, 2, 1)).double()
    for parameter in net.parameters():
        nn.init.normal_(parameter)
    return net


def norms() -> dict[str, nn.Module]:
    return {
        "batch": nn.BatchNorm2d(8, eps=1e-3),
        "layer": nn.GroupNorm(1, 8, eps=1e-3),
        "group": nn.GroupNorm(4, 8, eps=1e-3),
        "instance": nn.InstanceNorm2d(8, affine=True, eps=1e-3),
        "rms": nn.RMSNorm([8, 5, 4], eps=1e-3),
    }


def by_formula(kind: str, x, weight, bias, eps=1e-3):
    """(x - mean) / sqrt(var + eps) * weight + bias, over the axes that each norm means."""
    axes = {"batch": (0, 2, 3), "layer": (1, 2, 3), "instance": (2, 3), "rms": (1, 2, 3)}
    if kind == "group":
        grouped = x.unflatten(1, (4, 2))
        mean = grouped.mean((2, 3, 4), True)
        variance = grouped.var((2, 3, 4), correction=0, keepdim=True)
        y = ((grouped - mean) / (variance + eps).sqrt()).flatten(1, 2)
    elif kind == "rms":
        y = x / (x.square().mean(axes[kind], True) + eps).sqrt()
    else:
        variance, mean = torch.var_mean(x, axes[kind], correction=0, keepdim=True)
        y = (x - mean) / (variance + eps).sqrt()
    weight, bias = (
        p.view(-1, 1, 1) if p is not None and p.ndim == 1 else p for p in (weight, bias)
    )
    return y * weight + (0 if bias is None else bias)


@pytest.mark.parametrize(("former", "norm"), [p for p in product(KINDS, KINDS) if p[0] != p[1]])
def test_computes_the_new_norm_with_the_former_scale_and_shift(former, norm):
    net = conv(norms()[former])
    old, layer = net[1], net[0]
    weight, bias = old.weight, getattr(old, "bias", None)
    assert replace_norm(net, former, norm, X, num_groups=4) is net
    seen = layer(X)
    if old.weight.ndim > 1 and norm != "layer":  # a scale per element has no place
        weight = torch.ones(8, dtype=torch.float64)
    elif old.weight.ndim > 1:
        weight = old.weight
    bias = None if norm == "rms" else bias
    torch.testing.assert_close(net[1](seen), by_formula(norm, seen, weight, bias))
    lost = next(edit.note for edit in edits(net))
    assert ("its shift is lost" in lost) == (norm == "rms")
    assert ("its scale of shape (8, 5, 4) is lost" in lost) == (former == "rms" and norm != "layer")
    assert ("statistics are lost" in lost) == (former == "batch")
    assert ("recalibrate it" in lost) == (norm == "batch")
    assert (layer.bias is None) == (norm in ("batch", "instance"))


@pytest.mark.parametrize(("former", "norm"), [("batch", "group"), ("instance", "layer")])
def test_scale_and_shift_stay_the_same_parameters(former, norm):
    net = conv(norms()[former])
    weight, bias, bare = net[1].weight, net[1].bias, net[0].bias
    replace_norm(net, former, norm)
    assert net[1].weight is weight
    assert net[1].bias is bias
    assert net[1].eps == 1e-3
    assert net[0].bias is bare
    assert list(net.state_dict())[2:4] == ["1.weight", "1.bias"]


@pytest.mark.parametrize("learns", [True, False])
def test_a_scale_that_is_spread_learns_as_it_did(learns):
    net = conv(norms()["batch"])
    scale = net[1].weight.requires_grad_(learns)
    replace_norm(net, "batch", "rms", X)
    assert torch.equal(net[1].weight, scale[:, None, None].expand_as(net[1].weight))
    assert net[1].weight.requires_grad == learns


def test_layer_to_rms_and_back_over_the_same_axes():
    x = torch.randn(2, 5, 6)
    for shape in ([6], [5, 6]):
        net = nn.Sequential(nn.Linear(6, 6), nn.LayerNorm(shape))
        scale = net[1].weight
        replace_norm(net, "layer", "rms")
        assert net[1].weight is scale
        expected = nn.functional.rms_norm(net[0](x), shape, scale, 1e-5)
        torch.testing.assert_close(net(x), expected)
        replace_norm(net, "rms", "layer")
        torch.testing.assert_close(net(x), nn.functional.layer_norm(net[0](x), shape))
        assert [edit.note for edit in edits(net)] == [
            "no mean is subtracted any more",
            "a mean is subtracted now",
        ]


def test_a_zero_shift_is_not_missed():
    net = replace_norm(nn.Sequential(nn.BatchNorm1d(4)), "batch", "rms", torch.randn(3, 4))
    assert "shift" not in edits(net)[0].note


def test_tokens_keep_features_last():
    x = torch.randn(4, 5, 6)
    net = nn.Sequential(nn.Linear(6, 6), nn.LayerNorm(6), nn.ReLU(), nn.Linear(6, 6))
    replace_norm(net, "layer", "batch", x)
    assert isinstance(net[1], ChannelsLast)
    y = net[0](x).flatten(0, 1)
    expected = nn.functional.batch_norm(y, None, None, training=True).view(4, 5, 6)
    torch.testing.assert_close(net[1](net[0](x)), expected)
    replace_norm(net, "batch", "layer", x)
    torch.testing.assert_close(net[1](net[0](x)), nn.functional.layer_norm(net[0](x), (6,)))


@pytest.mark.parametrize(
    ("units", "groups"), [(64, 32), (96, 32), (48, 24), (8, 4), (6, 3), (7, 1), (1, 1), (80, 20)]
)
def test_the_number_of_groups_left_to_us(units, groups):
    net = replace_norm(nn.Sequential(nn.BatchNorm2d(units)), "batch", "group")
    assert net[0].num_groups == groups


def test_keeps_hooks_mode_dtype_and_ties():
    norm = nn.BatchNorm2d(8).double().eval()
    net = nn.ModuleDict({"a": norm, "b": nn.Sequential(norm)}).eval()
    calls = []
    handle = norm.register_forward_hook(lambda m, i, o: calls.append(type(m)))
    norm.register_forward_pre_hook(lambda m, args, kwargs: calls.append(None), with_kwargs=True)
    replace_norm(net, "batch", "group")
    assert net["a"] is net["b"][0]
    assert not net["a"].training
    assert net["a"].weight.dtype == torch.float64
    net["a"](torch.randn(2, 8, 3, 3, dtype=torch.float64))
    assert calls == [None, nn.GroupNorm]
    handle.remove()
    assert not net["a"]._forward_hooks
    assert len(edits(net)) == 1


@pytest.mark.parametrize("norm", ["rms", "batch", "group"])
@pytest.mark.parametrize("activation", ["relu", nn.ReLU()])
def test_transformers_fused_kernel_does_not_take_it_for_a_layer_norm(norm, activation):
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, 0.0, activation, batch_first=True)
    net = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    x = torch.randn(3, 5, 8)
    replace_norm(net, "layer", norm, None if norm == "rms" else x)
    net.eval()
    with torch.no_grad():
        fused = net(x)
    torch.testing.assert_close(fused, net(x))


def test_where():
    net = nn.Sequential(*(nn.BatchNorm2d(4) for _ in range(3)))
    replace_norm(net, "batch", "group", where=["0", "2"])
    assert [type(m) for m in net] == [nn.GroupNorm, nn.BatchNorm2d, nn.GroupNorm]


# --- refusals -----------------------------------------------------------------------------------


def snapshot(net: nn.Module) -> list:
    return [(p, id(m), id(m._parameters), str(m)) for p, m in net.named_modules()]


@pytest.mark.parametrize(
    ("net", "arguments", "options", "texts"),
    [
        (
            conv(nn.BatchNorm2d(8)),
            ("bacth", "gruop"),
            {},
            ["'bacth' (did you mean 'batch'?)", "'gr"],
        ),
        (conv(nn.BatchNorm2d(8)), ("batch", "batch"), {}, ["they are the same"]),
        (
            conv(nn.BatchNorm2d(8)),
            ("layer", "batch"),
            {},
            ["no layer norm to replace: it has batch"],
        ),
        (nn.Linear(2, 2), ("layer", "batch"), {}, ["it has none that is a module"]),
        (nn.BatchNorm1d(2), ("batch", "group"), {}, ["the network is itself a BatchNorm1d(2)"]),
        (
            conv(nn.GroupNorm(2, 8)),
            ("group", "batch"),
            {},
            ["1 is a GroupNorm(2, 8), which does not"],
        ),
        (nn.Sequential(nn.LazyBatchNorm2d()), ("batch", "group"), {}, ["0 is lazy"]),
        (freeze_norm(conv(nn.BatchNorm2d(8))), ("batch", "group"), {}, ["1 is frozen"]),
        (
            conv(nn.BatchNorm2d(8)),
            ("batch", "group"),
            {"num_groups": 3},
            ["group=3 does not divide"],
        ),
        (conv(nn.BatchNorm2d(8)), ("batch", "group"), {"where": "2"}, ["matches no batch norm"]),
        (
            conv(nn.BatchNorm2d(8)),
            ("batch", "rms"),
            {"example": X[:, :2]},
            ["does not run on the ex"],
        ),
    ],
)
def test_refusals(net, arguments, options, texts):
    before = snapshot(net)
    with pytest.raises(UsageError) as caught:
        replace_norm(net, *arguments, **options)
    assert len(caught.value.problems) == len(texts)
    assert all(t in p for t, p in zip(texts, caught.value.problems, strict=True)), caught.value
    assert snapshot(net) == before


def test_a_forward_that_needs_the_former_gets_it_back():
    class Reads(nn.Module):
        def __init__(self):
            super().__init__()
            self.bn, self.fc = nn.BatchNorm1d(4), nn.Linear(4, 4)

        def forward(self, x):
            return self.bn(self.fc(x)) + self.bn.running_mean

    net = Reads()
    before, twin = snapshot(net), copy.deepcopy(net)
    x = torch.randn(3, 4)
    with pytest.raises(UsageError, match="after this edit the network does not run"):
        replace_norm(net, "batch", "layer", x)
    assert snapshot(net) == before
    assert torch.equal(net(x), twin(x))


def test_a_norm_reused_at_different_sizes_has_no_rms_scale():
    class Pyramid(nn.Module):
        def __init__(self):
            super().__init__()
            self.bn = nn.BatchNorm2d(3)

        def forward(self, x):
            return self.bn(x).mean() + self.bn(x[..., ::2]).mean()

    with pytest.raises(UsageError, match="bn sees inputs of different shapes"):
        replace_norm(Pyramid().double(), "batch", "rms", X)
