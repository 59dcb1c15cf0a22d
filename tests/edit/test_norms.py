"""An inserted norm computes what an explicitly built network with the same weights computes."""

import copy
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from normwise.edit import insert_dropout, insert_input_dropout, insert_norm
from normwise.errors import UsageError
from normwise.layers import ChannelsLast

KINDS = ("linear", "tokens", "conv1d", "conv2d", "conv3d")
NORMS = ("batch", "layer", "group", "instance", "rms")
UNITS = 6


class Forward(nn.Module):
    """A network whose forward is given as a function of itself and x."""

    def __init__(self, forward, **modules: nn.Module) -> None:
        super().__init__()
        self._function = forward
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x: Tensor) -> Tensor:
        return self._function(self, x)


def example_of(kind: str) -> Tensor:
    shapes = {"linear": (), "conv1d": (6,), "conv2d": (5, 4), "conv3d": (4, 3, 5)}
    shape = (7, 5, 4) if kind == "tokens" else (7, 4, *shapes[kind])
    return torch.randn(shape, dtype=torch.float64)


def layers_of(kind: str) -> list[nn.Module]:
    if kind in ("linear", "tokens"):
        layers = [nn.Linear(4, UNITS), nn.Linear(UNITS, UNITS), nn.Linear(UNITS, 2)]
    else:
        conv = getattr(nn, kind.replace("conv", "Conv"))
        layers = [conv(4, UNITS, 2), conv(UNITS, UNITS, 2), conv(UNITS, 2, 1)]
    return [layer.double() for layer in layers]


class ByFormula(nn.Module):
    """What each norm means, from its definition: (x - mean) / sqrt(var + eps) over some axes."""

    def __init__(self, norm: str, kind: str, groups: int, weight: Tensor, bias: Tensor | None):
        super().__init__()
        self.norm, self.last, self.groups = norm, kind in ("linear", "tokens"), groups
        self.weight, self.bias = nn.Parameter(weight.clone()), bias

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.last else x.movedim(1, -1)  # units last
        positions = tuple(range(1, x.ndim - 1))
        y = {
            "batch": lambda: self.over(x, (0, *positions)),
            "layer": lambda: self.over(x, (-1,) if self.last else (*positions, -1)),
            "instance": lambda: self.over(x, positions),
            "group": lambda: self.grouped(x, () if self.last else positions),
            "rms": lambda: self.rms(x, (-1,) if self.last else (*positions, -1)),
        }[self.norm]()
        y = y if self.last else y.movedim(-1, 1)
        shape = (-1,) if self.last else (-1, *[1] * (x.ndim - 2))
        weight = self.weight.view(shape) if self.weight.ndim == 1 else self.weight
        return y * weight + (0 if self.bias is None else self.bias.view(shape))

    def over(self, x: Tensor, axes: tuple[int, ...]) -> Tensor:
        return (x - x.mean(axes, True)) / (x.var(axes, unbiased=False, keepdim=True) + 1e-5).sqrt()

    def grouped(self, x: Tensor, positions: tuple[int, ...]) -> Tensor:
        return self.over(x.unflatten(-1, (self.groups, -1)), (*positions, -1)).flatten(-2)

    def rms(self, x: Tensor, axes: tuple[int, ...]) -> Tensor:
        return x / (x.square().mean(axes, True) + torch.finfo(x.dtype).eps).sqrt()


def randomize(norm: nn.Module) -> tuple[Tensor, Tensor | None]:
    """Give a norm a random scale and shift, and return them (1 and None where it has none)."""
    inner = norm.norm if isinstance(norm, ChannelsLast) else norm
    weight = getattr(inner, "weight", None)
    bias = getattr(inner, "bias", None)
    for parameter in (weight, bias):
        if parameter is not None:
            nn.init.normal_(parameter)
    one = torch.ones(UNITS, dtype=torch.float64)
    return one if weight is None else weight.detach(), None if bias is None else bias.detach()


def possible(kind: str, norm: str, groups: int) -> bool:
    features = kind in ("linear", "tokens")
    refused = features and (norm == "instance" or groups == UNITS)
    return (norm == "group" or groups == 1) and not refused


CASES = [case for case in product(KINDS, NORMS, (1, 3, UNITS)) if possible(*case)]


@pytest.mark.parametrize("placement", ["before", "after"])
@pytest.mark.parametrize(("kind", "norm", "groups"), CASES)
def test_equals_the_network_built_by_hand(kind, norm, groups, placement):
    torch.manual_seed(0)
    layers = layers_of(kind)
    original = copy.deepcopy(layers)
    net = nn.Sequential(layers[0], nn.Tanh(), layers[1], nn.ReLU(), layers[2])
    x = example_of(kind)
    assert insert_norm(net, norm, x, num_groups=groups, placement=placement) is net
    hosts = [net[0], net[2]] if placement == "before" else [net[1], net[3]]
    norms = [
        ByFormula(norm, kind, groups, *randomize(host.get_submodule("norm"))) for host in hosts
    ]
    # The reference keeps every bias: those that the edit drops must make no difference.
    pairs = zip([nn.Tanh(), nn.ReLU()], norms, strict=True)
    blocks = [(n, a) if placement == "before" else (a, n) for a, n in pairs]
    reference = nn.Sequential(original[0], *blocks[0], original[1], *blocks[1], original[2])

    results = []
    for network, parts in ((net, layers), (reference, original)):
        inputs = x.clone().requires_grad_()
        out = network.train()(inputs)
        (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
        weights = [part.weight.grad for part in parts]
        results.append([out, inputs.grad, parts[2].bias.grad, *weights])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)

    useless = placement == "before" and (norm in ("batch", "instance") or groups == UNITS)
    assert [layer.bias is None for layer in layers] == [useless, useless, False]


def test_every_kind_is_torchs_own():
    kinds = {
        ("linear", "batch"): "BatchNorm1d(6, ",
        ("tokens", "batch"): "ChannelsLast(\n  (norm): BatchNorm1d(6, ",
        ("conv1d", "batch"): "BatchNorm1d(6, ",
        ("conv2d", "batch"): "BatchNorm2d(6, ",
        ("conv3d", "batch"): "BatchNorm3d(6, ",
        ("conv3d", "instance"): "InstanceNorm3d(6, ",
        ("tokens", "layer"): "LayerNorm((6,), ",
        ("conv2d", "layer"): "GroupNorm(1, 6, ",
        ("linear", "rms"): "RMSNorm((6,), ",
        ("conv2d", "rms"): "RMSNorm((6, 4, 3), ",
    }
    for (kind, norm), text in kinds.items():
        net = nn.Sequential(layers_of(kind)[0], nn.ReLU(), layers_of(kind)[1])
        assert repr(insert_norm(net, norm, example_of(kind))[0].norm).startswith(text)


def test_norms_take_device_dtype_and_mode():
    for placement in ("before", "after"):
        net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)).to(torch.bfloat16).eval()
        insert_norm(net, "batch", torch.randn(5, 4).bfloat16(), placement=placement)
        assert {p.dtype for p in net.parameters()} == {torch.bfloat16}
        assert not any(module.training for module in net.modules())


# --- norms that are there already ---------------------------------------------------------------


def conv_bn(bias: bool) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(4, 6, 2, bias=bias), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 2, 1)
    )


@pytest.mark.parametrize("norm", NORMS)
def test_a_former_norm_gives_way_in_its_place(norm):
    net = conv_bn(bias=True).double()
    former = net[1]
    insert_norm(net, norm, example_of("conv2d"), num_groups=2)
    assert [name for name, _ in net.named_children()] == ["0", "1", "2", "3"]
    assert net[1] is not former
    assert len(list(net.modules())) == 5
    assert (net[0].bias is None) == (norm in ("batch", "instance"))


def test_a_batch_norm_for_a_batch_norm_changes_nothing():
    torch.manual_seed(0)
    net = conv_bn(bias=False).double()
    x = example_of("conv2d")
    twin = copy.deepcopy(net)
    insert_norm(net, "batch", x)
    assert net.state_dict().keys() == twin.state_dict().keys()
    assert torch.equal(net(x), twin(x))


def test_a_former_norm_behind_pooling_keeps_its_place_and_the_bias_its_use():
    conv, head = nn.Conv2d(4, 6, 2), nn.Linear(6, 2)
    net = nn.Sequential(
        conv, nn.MaxPool2d(2), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    ).append(head)
    insert_norm(net, "instance", torch.randn(5, 4, 7, 7))
    assert isinstance(net[2], nn.InstanceNorm2d)
    assert conv.bias is not None


def test_pre_activation_blocks_keep_their_skip_connection():
    def forward(self, x):
        x = self.stem(x)
        x = x + self.conv2(F.relu(self.bn2(self.conv1(F.relu(self.bn1(x))))))
        return self.head(F.relu(self.bn3(x)).mean((2, 3)))

    torch.manual_seed(0)
    parts = {"stem": nn.Conv2d(4, 6, 1), "head": nn.Linear(6, 2)}
    parts |= {f"conv{i}": nn.Conv2d(6, 6, 3, padding=1) for i in (1, 2)}
    parts |= {f"bn{i}": nn.BatchNorm2d(6) for i in (1, 2, 3)}
    net = Forward(forward, **parts).double()
    twin = copy.deepcopy(net)
    x = example_of("conv2d")
    insert_norm(net, "batch", x)
    torch.testing.assert_close(net(x), twin(x))
    # stem and conv2 reach the sum as they are; only conv1's bias is undone by bn2 for sure
    assert [net.stem.bias is None, net.conv1.bias is None, net.conv2.bias is None] == [
        False,
        True,
        False,
    ]
    for i in (1, 2, 3):
        setattr(twin, f"bn{i}", nn.GroupNorm(1, 6).double())
    twin.conv1.bias = None
    torch.testing.assert_close(insert_norm(net, "layer", x)(x), twin(x))


class Named(nn.Module):
    """Calls all its modules by name."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv1d(3, 8, 3, padding=1), nn.BatchNorm1d(8)
        self.drop, self.fc = nn.Dropout(0.1), nn.Linear(8, 2)

    def forward(self, x):
        x = nn.functional.relu(input=self.bn(input=self.conv(input=x)))
        return self.fc(input=self.drop(input=x).mean(-1))


def test_modules_called_by_name_are_as_good():
    x = torch.randn(4, 3, 9)
    net = insert_norm(Named(), "layer", x)
    assert isinstance(net.bn, nn.GroupNorm)
    normed = F.group_norm(net.conv(x), 1, net.bn.weight, net.bn.bias)
    torch.testing.assert_close(net.eval()(x), net.fc(normed.relu().mean(-1)))
    net = insert_dropout(Named(), 0.5, x)
    assert net.drop.p == 0.5
    net = insert_input_dropout(Named(), 0.5, x)
    [(guest, _)] = net.conv.named_children()
    torch.manual_seed(0)
    found = net.conv(input=x)
    torch.manual_seed(0)
    expected = nn.functional.conv1d(
        net.conv.get_submodule(guest)(x), net.conv.weight, net.conv.bias, padding=1
    )
    torch.testing.assert_close(found, expected)


def test_a_norm_over_a_concatenation_fits_it():
    def forward(self, x):
        x = self.conv1(x)
        return self.head(F.relu(self.bn(torch.cat([x, self.conv2(x)], 1))).mean((2, 3)))

    net = Forward(
        forward,
        conv1=nn.Conv2d(4, 6, 1),
        conv2=nn.Conv2d(6, 3, 1),
        bn=nn.BatchNorm2d(9),
        head=nn.Linear(9, 2),
    ).double()
    insert_norm(net, "group", example_of("conv2d"), num_groups=3)
    assert repr(net.bn).startswith("GroupNorm(3, 9,")


def test_after_moves_a_norm_that_stands_before():
    net = conv_bn(bias=False).double()
    insert_norm(net, "layer", example_of("conv2d"), placement="after")
    assert isinstance(net[1], nn.Identity)
    assert isinstance(net[2].norm, nn.GroupNorm)


def test_after_replaces_a_norm_that_follows():
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.BatchNorm1d(6), nn.Linear(6, 2)).double()
    insert_norm(net, "layer", example_of("linear"), placement="after")
    assert isinstance(net[2], nn.LayerNorm)
    assert len(list(net.modules())) == 5


def test_inserting_twice_replaces():
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)).double()
    x = example_of("linear")
    for placement, host in (("before", 0), ("after", 1)):
        for norm in ("batch", "layer"):
            insert_norm(net, norm, x, placement=placement)
        assert isinstance(net[host].norm, nn.LayerNorm)
    assert isinstance(net[0].norm, nn.Identity)
    tokens = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)).double()
    insert_norm(tokens, "batch", example_of("tokens"))
    insert_norm(tokens, "group", example_of("tokens"), num_groups=2)
    assert isinstance(tokens[0].norm.norm, nn.GroupNorm)


def test_a_norm_module_used_under_two_names_is_replaced_under_both():
    bn = nn.BatchNorm1d(6)
    net = nn.Sequential(nn.Linear(4, 6), bn, nn.ReLU(), nn.Linear(6, 6), bn, nn.ReLU())
    net.append(nn.Linear(6, 2))
    insert_norm(net, "layer", torch.randn(5, 4))
    assert isinstance(net[1], nn.LayerNorm)
    assert net[1] is net[4]


# --- other networks -----------------------------------------------------------------------------


def test_residual_network_before():
    def plain(self, x):
        x = F.relu(self.stem(x))
        return self.head(F.relu(self.conv2(F.relu(self.conv1(x))) + self.shortcut(x)).mean((2, 3)))

    def normed(self, x):
        x = F.relu(self.n0(self.stem(x)))
        y = self.n2(self.conv2(F.relu(self.n1(self.conv1(x))))) + self.n3(self.shortcut(x))
        return self.head(F.relu(y).mean((2, 3)))

    torch.manual_seed(0)
    parts = {"stem": nn.Conv2d(4, 6, 1), "conv1": nn.Conv2d(6, 5, 1), "conv2": nn.Conv2d(5, 6, 1)}
    parts |= {"shortcut": nn.Conv2d(6, 6, 1), "head": nn.Linear(6, 2)}
    net = Forward(plain, **parts).double()
    sizes = (6, 5, 6, 6)
    norms = {f"n{i}": nn.BatchNorm2d(size) for i, size in enumerate(sizes)}
    reference = Forward(normed, **copy.deepcopy(parts), **norms).double()
    x = example_of("conv2d")
    torch.testing.assert_close(insert_norm(net, "batch", x)(x), reference(x))


@pytest.mark.parametrize("evaluate", [False, True])
def test_transformer_encoder(evaluate):
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(6, 2, 8, batch_first=True, dropout=0.0)
    net = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False).double()
    x = torch.randn(3, 5, 6, dtype=torch.float64)
    inner = copy.deepcopy(net.layers[0])
    insert_norm(net, "layer", x)
    y = inner.norm1(x + inner.self_attn(x, x, x)[0])
    hidden = F.layer_norm(inner.linear1(y), (8,)).relu()
    expected = inner.norm2(y + inner.linear2(hidden))
    with torch.set_grad_enabled(not evaluate):  # where torch may take its fused kernel
        torch.testing.assert_close(net.train(not evaluate)(x), expected)


def test_a_reshaped_linear_keeps_its_own_norm():
    # as in a generator of images: a Linear, made an image, then normalised by channel
    net = nn.Sequential(
        *(nn.Linear(4, 24), nn.Unflatten(1, (6, 2, 2)), nn.BatchNorm2d(6), nn.ReLU()),
        nn.ConvTranspose2d(6, 3, 2),
    )
    insert_norm(net, "instance", torch.randn(5, 4))
    assert isinstance(net[2], nn.InstanceNorm2d)
    assert net(torch.randn(5, 4)).shape == (5, 3, 3, 3)


def test_the_original_checkpoint_still_loads():
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
    checkpoint = copy.deepcopy(net).state_dict()
    edited = insert_norm(net, "layer", torch.randn(5, 4))
    nn.init.zeros_(edited[0].weight)
    missing, unexpected = edited.load_state_dict(checkpoint, strict=False)
    assert unexpected == []
    assert missing == ["0.norm.weight", "0.norm.bias"]
    assert torch.equal(edited[0].weight, checkpoint["0.weight"])


# --- refusals -----------------------------------------------------------------------------------


def refusal(net: nn.Module, norm: str, example: Tensor, **options) -> tuple[str, ...]:
    with pytest.raises(UsageError) as caught:
        insert_norm(net, norm, example, **options)
    return caught.value.problems


def mixed() -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2d(4, 6, 2), nn.ReLU(), nn.Conv2d(6, 8, 2), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 2)),
    )


def test_all_misspellings_are_reported_together():
    problems = refusal(mixed(), "bacth", torch.ones(1), placement="behind")
    assert problems[0].startswith("unknown norm 'bacth' (did you mean 'batch'?): use one of batch")
    assert problems[1] == "unknown placement 'behind': use before or after"
    assert refusal(mixed(), "group", torch.ones(1)) == (
        "num_groups=None: a group norm needs at least one group",
    )


def test_groups_that_do_not_fit_are_named_with_those_that_would():
    problems = refusal(mixed(), "group", torch.randn(3, 4, 5, 5), num_groups=4)
    assert problems == (
        "group=4 does not divide the 6 channels of 0: group=1, 2, 3, 6 would",
        "group=4 does not divide the 6 channels of 6: group=1, 2, 3 would",
    )
    problems = refusal(mixed(), "group", torch.randn(3, 4, 5, 5), num_groups=6)
    assert problems[0] == "group=6 does not divide the 8 channels of 2: group=1, 2, 4, 8 would"
    assert problems[1].startswith("group=6 leaves one value per group of 6, which would always")


def test_instance_needs_positions():
    [problem] = refusal(mixed(), "instance", torch.randn(3, 4, 5, 5))
    assert problem.startswith("instance norm needs positions to average over, and 6 gives one")
    assert problem.endswith("batch, layer, group=G and rms would work")
    net = nn.Sequential(nn.Conv2d(4, 6, 5), nn.ReLU(), nn.Conv2d(6, 2, 1))
    assert "and 0 gives one value" in refusal(net, "instance", torch.randn(3, 4, 5, 5))[0]


def test_a_single_unit_has_no_layer_norm():
    net = nn.Sequential(nn.Linear(4, 1), nn.ReLU(), nn.Linear(1, 2))
    assert refusal(net, "layer", torch.randn(3, 4))[0].startswith("0 gives one value per sample")
    assert refusal(net, "group", torch.randn(3, 4), num_groups=1)[0].endswith("batch would work")


@pytest.mark.parametrize("placement", ["before", "after"])
def test_batch_norm_cannot_serve_two_places(placement):
    block = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    net = nn.Sequential(block, block, nn.Linear(4, 2))
    [problem] = refusal(net, "batch", torch.randn(3, 4), placement=placement)
    place = "0.0" if placement == "before" else "the relu after 0.0"
    assert problem.startswith(f"{place} is used 2 times in one forward pass")
    insert_norm(net, "layer", torch.randn(3, 4), placement=placement)
    assert sum(isinstance(m, nn.LayerNorm) for m in net.modules()) == 1


def test_a_network_without_hidden_layers():
    net = nn.Sequential(nn.Linear(4, 2), nn.Softmax(-1))
    assert refusal(net, "layer", torch.randn(3, 4))[0].startswith("no place for a layer norm")


@pytest.mark.parametrize("placement", ["before", "after"])
def test_norms_that_are_functions_are_all_named(placement):
    def forward(self, x):
        x = F.relu(F.layer_norm(self.fc1(x), (6,)))
        return self.fc3(F.relu(F.layer_norm(self.fc2(x), (6,))))

    parts = {"fc1": nn.Linear(4, 6), "fc2": nn.Linear(6, 6), "fc3": nn.Linear(6, 2)}
    problems = refusal(Forward(forward, **parts), "batch", torch.randn(3, 4), placement=placement)
    assert [problem.split()[0] for problem in problems[:2]] == ["fc1", "fc2"]
    assert all("called as a function and cannot be replaced" in p for p in problems[:2])


def test_after_reports_misfits_and_untraceable_forwards_together():
    def forward(self, x):
        x = F.relu(self.conv(x))
        return self.fc(x.mean((2, 3)) if x.sum() > 0 else x.amax((2, 3)))

    net = Forward(forward, conv=nn.Conv2d(4, 6, 2), fc=nn.Linear(6, 2))
    problems = refusal(net, "group", torch.randn(3, 4, 5, 5), num_groups=4, placement="after")
    assert problems[0].startswith("group=4 does not divide the 6 channels of the relu after conv")
    assert problems[1].startswith("Forward.forward calls relu as a function")
