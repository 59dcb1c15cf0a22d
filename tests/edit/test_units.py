"""Random networks with units removed and added compute what they should."""

import copy

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from normwise.edit import edits, grow, prune

NORMS = {
    "none": lambda width: nn.Identity(),
    "batch": nn.BatchNorm2d,
    "bare batch": lambda width: nn.BatchNorm2d(width, affine=False),
    "group": lambda width: nn.GroupNorm(width // 2, width),
    "bare group": lambda width: nn.GroupNorm(width // 2, width, affine=False),
    "instance": nn.InstanceNorm2d,
    "instance with statistics": lambda width: nn.InstanceNorm2d(
        width, affine=True, track_running_stats=True
    ),
}
ACTIVATIONS = {
    "relu": lambda width: nn.ReLU(inplace=True),
    "sigmoid": lambda width: nn.Sigmoid(),  # not 0 at 0
    "prelu": nn.PReLU,
    "hardswish": lambda width: nn.Hardswish(),
}
SHAPES = ("plain", "residual", "dense", "depthwise", "grouped", "squeeze", "transposed", "twice")
STAGES = st.tuples(
    st.sampled_from(SHAPES),
    st.sampled_from([4, 6]),
    st.sampled_from(sorted(NORMS)),
    st.sampled_from(sorted(ACTIVATIONS)),
)
NETWORKS = st.tuples(
    st.lists(STAGES, min_size=1, max_size=3),
    st.sampled_from([0.0, 0.5]),
    st.sampled_from(["flat", "pool"]),
)


class Stage(nn.Module):
    def __init__(self, shape: str, inputs: int, width: int, norm: str, act: str) -> None:
        super().__init__()
        self.shape, self.outputs = shape, width
        if shape in ("residual", "squeeze"):
            self.outputs = width = inputs
        if shape == "dense":
            self.outputs = inputs + width
        if shape == "depthwise":
            self.depthwise = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs)
        if shape == "grouped":
            self.grouped = nn.Conv2d(inputs, 2 * inputs, 3, padding=1, groups=inputs // 2)
            inputs = 2 * inputs
        if shape == "squeeze":
            self.squeeze, self.excite = nn.Conv2d(width, 3, 1), nn.Conv2d(3, width, 1)
        kind = nn.ConvTranspose2d if shape == "transposed" else nn.Conv2d
        self.conv = kind(inputs, width, 3, padding=1)
        if shape == "twice":
            self.again = nn.Conv2d(width, width, 1)
        self.norm, self.act = NORMS[norm](width), ACTIVATIONS[act](width)

    def forward(self, x: Tensor) -> Tensor:
        y = x
        if self.shape == "depthwise":
            y = torch.tanh(self.depthwise(x))
        if self.shape == "grouped":
            y = F.relu(self.grouped(x))
        y = self.conv(y)
        if self.shape == "twice":
            y = y + self.again(y)
        y = self.act(self.norm(y))
        if self.shape == "squeeze":
            y = y * torch.sigmoid(self.excite(F.relu(self.squeeze(y.mean((2, 3), keepdim=True)))))
        if self.shape in ("residual", "squeeze"):
            return x + y
        return torch.cat([x, y], 1) if self.shape == "dense" else y


class Network(nn.Module):
    def __init__(self, stages, p: float, head: str) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        made, width = [], 4
        for stage in stages:
            made.append(Stage(stage[0], width, *stage[1:]))
            width = made[-1].outputs
        self.stages = nn.Sequential(*made)
        self.drop, self.p, self.head = nn.Dropout2d(p), p, head
        self.hidden = nn.Linear(width * (9 if head == "flat" else 1), 5)
        self.out = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.drop(self.stages(self.stem(x)))
        x = x.flatten(1) if self.head == "flat" else x.mean((2, 3))
        return self.out(F.dropout(torch.cos(self.hidden(x)), self.p, self.training))


def build(network) -> tuple[Network, Tensor]:
    torch.manual_seed(0)
    net = Network(*network).double()
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            if tensor.is_floating_point():
                signs = 1 if "var" in name else torch.randint(2, tensor.shape) * 2 - 1
                tensor.uniform_(0.3, 1).mul_(signs)
    return net, torch.randn(4, 3, 3, 3, dtype=torch.float64)


def outputs(net: Network, x: Tensor, *, training: bool) -> Tensor:
    """Without dropout, whose masks are others in a network of another size."""
    net = copy.deepcopy(net).train(training)
    net.p = net.drop.p = 0.0
    with torch.no_grad():
        return net(x)


def kept(before: nn.Module, after: nn.Module) -> Tensor:
    """Which units are still there: their biases tell."""
    return torch.isin(before.bias.detach(), after.bias.detach()).double()


def blind(reader: nn.Module, mask: Tensor) -> None:
    """Let a layer see zeros where the mask has zeros."""

    def see(module: nn.Module, inputs: tuple[Tensor]) -> Tensor:
        spread = mask.repeat_interleave(inputs[0].shape[1] // len(mask))
        return inputs[0] * spread.reshape(1, -1, *(1,) * (inputs[0].ndim - 2))

    reader.register_forward_pre_hook(see)


def misjudged(net: nn.Module) -> list[str]:
    """What was tried and found to be wrong: here nothing should be."""
    return [edit.done for edit in edits(net) if "would differ" in edit.done or "fails" in edit.done]


def without(net: Network, smaller: Network) -> Network:
    """Return the network with its layers blind for what the smaller network lacks."""
    stream = kept(net.stem, smaller.stem)
    for stage, its in zip(net.stages, smaller.stages, strict=True):
        conv = kept(stage.conv, its.conv)
        blind(stage.conv, kept(stage.grouped, its.grouped) if hasattr(its, "grouped") else stream)
        if stage.shape == "twice":
            blind(stage.again, conv)
        if stage.shape == "squeeze":
            blind(stage.squeeze, conv)
            blind(stage.excite, kept(stage.squeeze, its.squeeze))
        if stage.shape == "dense":
            stream = torch.cat([stream, conv])
        elif stage.shape not in ("residual", "squeeze"):
            stream = conv
    blind(net.hidden, stream)
    blind(net.out, kept(net.hidden, smaller.hidden))
    return net


@settings(max_examples=30)
@given(NETWORKS, st.sampled_from([0.3, 0.6]))
def test_what_is_left_computes_what_it_did_without_the_units_that_went(network, amount):
    net, x = build(network)
    smaller = prune(copy.deepcopy(net), x, amount)
    assert len(smaller.hidden.bias) == 5 - int(5 * amount)
    assert not misjudged(smaller)
    masked = without(net, smaller)
    for training in (True, False):
        expected = outputs(masked, x, training=training)
        got = outputs(smaller, x, training=training)
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)


@settings(max_examples=20)
@given(NETWORKS, st.sampled_from([1, 3, 0.5]))
def test_a_wider_network_computes_the_same(network, units):
    net, x = build(network)
    wider = grow(copy.deepcopy(net), x, units)
    assert len(wider.hidden.bias) == 5 + (2 if units == 0.5 else units)
    assert not misjudged(wider)
    for training in (True, False):
        expected = outputs(net, x, training=training)
        got = outputs(wider, x, training=training)
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)


@settings(max_examples=8)
@given(NETWORKS)
def test_a_grown_network_can_be_pruned_and_trained(network):
    net, x = build(network)
    net = prune(grow(net, x, 2), x, 0.4)
    net.train()(x).square().sum().backward()
    assert all(p.grad is None or p.grad.shape == p.shape for p in net.parameters())
