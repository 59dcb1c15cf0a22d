"""Which layers and activations a trace finds, in networks of every make."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from normwise.layers import ConcreteDropout
from normwise.trace import FUNCTION, Trace, trace

torch.manual_seed(0)

VECTORS = torch.randn(4, 6)
IMAGES = torch.randn(4, 3, 8, 8)
TOKENS = torch.randn(4, 5, 6)
WORDS = torch.randint(0, 9, (4, 5))


class Forward(nn.Module):
    """A network whose forward is given as a function of itself and x."""

    def __init__(self, forward, **modules: nn.Module) -> None:
        super().__init__()
        self._function = forward
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x: Tensor) -> Tensor:
        return self._function(self, x)


def linears(*sizes: int) -> dict[str, nn.Module]:
    return {f"fc{i}": nn.Linear(a, b) for i, (a, b) in enumerate(pairwise(sizes), 1)}


def hidden(found: Trace) -> list[str]:
    return [layer.path for layer in found.hidden]


def fed(found: Trace) -> list[tuple[str, tuple[str, ...]]]:
    return [(activation.name, activation.layers) for activation in found.activations]


# --- the zoo: network, example, what the activations are and which layers feed them -------------


def mlp():
    layers = nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)
    return nn.Sequential(*layers), VECTORS, [("relu", ("0",)), ("tanh", ("2",))]


def functional():
    def forward(self, x):
        x = F.elu(self.fc1(x)).view(len(x), -1)
        return self.fc4(self.fc3(torch.sigmoid(self.fc2(x))).relu())

    expected = [("elu", ("fc1",)), ("sigmoid", ("fc2",)), ("relu", ("fc3",))]
    return Forward(forward, **linears(6, 5, 4, 4, 3)), VECTORS, expected


def in_place():
    def forward(self, x):
        x = F.relu(self.fc1(x), inplace=True)
        return self.fc4(self.fc3(self.act(self.fc2(x))).tanh_())

    net = Forward(forward, **linears(6, 5, 4, 4, 3), act=nn.ELU(inplace=True))
    return net, VECTORS, [("relu", ("fc1",)), ("elu", ("fc2",)), ("tanh", ("fc3",))]


def by_keyword():
    def forward(self, x):
        return self.fc3(self.act(input=self.fc2(F.relu(input=self.fc1(x)))))

    net = Forward(forward, **linears(6, 5, 4, 3), act=nn.SiLU())
    return net, VECTORS, [("relu", ("fc1",)), ("silu", ("fc2",))]


def shared_module():
    def forward(self, x):
        return self.fc3(self.act(self.fc2(self.act(self.fc1(x)))))

    net = Forward(forward, **linears(6, 5, 4, 3), act=nn.ReLU())
    return net, VECTORS, [("relu", ("fc1",)), ("relu", ("fc2",))]


def residual():
    def forward(self, x):
        x = F.relu(self.stem(x))
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        x = F.relu(y + self.shortcut(x))
        return self.head(x.mean((2, 3)))

    net = Forward(
        forward,
        stem=nn.Conv2d(3, 4, 3),
        conv1=nn.Conv2d(4, 4, 3, padding=1),
        bn1=nn.BatchNorm2d(4),
        conv2=nn.Conv2d(4, 4, 3, padding=1),
        bn2=nn.BatchNorm2d(4),
        shortcut=nn.Conv2d(4, 4, 1),
        head=nn.Linear(4, 2),
    )
    feeds = [("stem",), ("conv1",), ("conv2", "shortcut")]
    return net, IMAGES, [("relu", layers) for layers in feeds]


def pre_activation():
    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            y = block.conv1(F.relu(block.bn1(x)))
            x = x + block.conv2(F.relu(block.bn2(y)))
        return self.head(F.relu(self.bn(x)).mean((2, 3)))

    def block():
        convs = {f"conv{i}": nn.Conv2d(4, 4, 3, padding=1) for i in (1, 2)}
        norms = {f"bn{i}": nn.BatchNorm2d(4) for i in (1, 2)}
        return Forward(None, **convs, **norms)

    net = Forward(
        forward,
        stem=nn.Conv2d(3, 4, 3),
        blocks=nn.ModuleList([block(), block()]),
        bn=nn.BatchNorm2d(4),
        head=nn.Linear(4, 2),
    )
    first, second = ("stem",), ("stem", "blocks.0.conv2")
    feeds = [first, ("blocks.0.conv1",), second, ("blocks.1.conv1",), (*second, "blocks.1.conv2")]
    return net, IMAGES, [("relu", layers) for layers in feeds]


def lenet():
    net = nn.Sequential(
        *(nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.BatchNorm2d(4), nn.ReLU()),
        *(nn.Conv2d(4, 5, 2), nn.BatchNorm2d(5), nn.AvgPool2d(2), nn.Sigmoid(), nn.Flatten()),
        *(nn.Linear(5, 6), nn.Dropout(), nn.ReLU(), nn.Linear(6, 2), nn.Softmax(-1)),
    )
    return net, IMAGES, [("relu", ("0",)), ("sigmoid", ("4",)), ("relu", ("9",))]


def transformer(batch_first: bool):
    layer = nn.TransformerEncoderLayer(6, 2, 7, batch_first=batch_first)
    net = nn.Sequential(
        nn.Linear(6, 6),
        nn.TransformerEncoder(layer, 2, enable_nested_tensor=False),
        nn.Linear(6, 2),
    )
    expected = [("relu", ("1.layers.0.linear1",)), ("relu", ("1.layers.1.linear1",))]
    return net, TOKENS, expected


def attention():
    def forward(self, x):
        q, k, v = self.qkv(self.norm1(x)).chunk(3, -1)
        x = x + self.out((q @ k.transpose(1, 2)).softmax(-1) @ v)
        x = x + self.down(F.gelu(self.up(self.norm2(x))))
        return self.head(x.mean(1))

    net = Forward(
        forward,
        norm1=nn.LayerNorm(6),
        qkv=nn.Linear(6, 18),
        out=nn.Linear(6, 6),
        norm2=nn.LayerNorm(6),
        up=nn.Linear(6, 9),
        down=nn.Linear(9, 6),
        head=nn.Linear(6, 2),
    )
    return net, TOKENS, [("gelu", ("up",))]


def autoencoder():
    encoder = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2))
    decoder = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 6), nn.Sigmoid())
    net = nn.Sequential(encoder, decoder)
    return net, VECTORS, [("relu", ("0.0",)), ("relu", ("1.0",))]


def two_heads():
    def forward(self, x):
        x = self.fc2(F.relu(self.fc1(x))).relu()
        return {"mean": self.mean(x), "scale": F.softplus(self.scale(x))}

    net = Forward(forward, **linears(6, 5, 4), mean=nn.Linear(4, 1), scale=nn.Linear(4, 1))
    return net, VECTORS, [("relu", ("fc1",)), ("relu", ("fc2",))]


def u_net():
    def forward(self, x):
        x1 = F.relu(self.enc1(x))
        x2 = F.relu(self.enc2(F.max_pool2d(x1, 2)))
        x3 = F.relu(self.dec(torch.cat([x1, self.up(x2)], 1)))
        return torch.sigmoid(self.head(x3))

    net = Forward(
        forward,
        enc1=nn.Conv2d(3, 4, 3, padding=1),
        enc2=nn.Conv2d(4, 5, 3, padding=1),
        up=nn.ConvTranspose2d(5, 4, 2, stride=2),
        dec=nn.Conv2d(8, 4, 3, padding=1),
        head=nn.Conv2d(4, 1, 1),
    )
    return net, IMAGES, [("relu", ("enc1",)), ("relu", ("enc2",)), ("relu", ("dec",))]


def squeeze_and_excitation():
    def forward(self, x):
        x = F.relu(self.conv1(x))
        gate = torch.sigmoid(self.fc2(F.relu(self.fc1(x.mean((2, 3))))))
        x = F.relu(self.conv2(x * gate[:, :, None, None]))
        return self.head(x.mean((2, 3)))

    net = Forward(
        forward,
        conv1=nn.Conv2d(3, 4, 3),
        **linears(4, 2, 4),
        conv2=nn.Conv2d(4, 5, 3),
        head=nn.Linear(5, 2),
    )
    expected = [("relu", ("conv1",)), ("relu", ("fc1",)), ("sigmoid", ("fc2",))]
    return net, IMAGES, [*expected, ("relu", ("conv2",))]


def data_dependent():
    def forward(self, x):
        x = F.relu(self.fc1(x)) if x.sum() > 1e9 else torch.tanh(self.fc1(x))
        for _ in range(int(x.abs().max() < 2) + 1):
            x = F.relu(self.fc2(x))
        return self.fc3(x)

    net = Forward(forward, **linears(6, 5, 5, 3))
    return net, VECTORS, [("tanh", ("fc1",)), ("relu", ("fc2",)), ("relu", ("fc2",))]


def lstm_head():
    def forward(self, x):
        x, _ = self.lstm(F.relu(self.fc1(x)))
        return self.fc3(torch.tanh(self.fc2(torch.relu(x)))[:, -1])

    net = Forward(forward, **linears(6, 5, 4, 3), lstm=nn.LSTM(5, 5, batch_first=True))
    return net, TOKENS, [("relu", ("fc1",)), ("tanh", ("fc2",))]


def used_twice():
    def forward(self, x):
        return self.fc2(F.relu(self.fc1(F.relu(self.fc1(x)))))

    net = Forward(forward, **linears(6, 6, 3))
    return net, VECTORS, [("relu", ("fc1",)), ("relu", ("fc1",))]


def tied():
    def forward(self, x):
        return F.linear(F.relu(self.fc2(F.relu(self.fc1(x)))), self.fc1.weight.t())

    net = Forward(forward, **linears(6, 5, 5))
    net.fc2.weight = nn.Parameter(torch.randn(5, 5))
    return net, VECTORS, [("relu", ("fc1",)), ("relu", ("fc2",))]


def lazy():
    net = nn.Sequential(nn.LazyLinear(5), nn.ReLU(), nn.LazyLinear(4), nn.ReLU(), nn.LazyLinear(2))
    return net, VECTORS, [("relu", ("0",)), ("relu", ("2",))]


def embedding():
    net = nn.Sequential(
        *(nn.Embedding(9, 6), nn.ReLU(), nn.Flatten(), nn.Linear(30, 5), nn.ReLU(), nn.Linear(5, 2))
    )
    return net, WORDS, [("relu", ("3",))]


def convolution(rank: int):
    conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[rank - 1]
    back = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)[rank - 1]
    net = nn.Sequential(conv(3, 4, 2), nn.ReLU(), back(4, 2, 2), nn.SELU(), conv(2, 1, 1))
    return net, torch.randn(2, 3, *[4] * rank), [("relu", ("0",)), ("selu", ("2",))]


def weights_of_its_own():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.fc2 = nn.Linear(6, 5), nn.Linear(4, 3)
            self.weight = nn.Parameter(torch.randn(5, 4))

        def forward(self, x):
            return self.fc2(torch.tanh(F.relu(self.fc1(x)) @ self.weight))

    return Net(), VECTORS, [("relu", ("fc1",))]


def home_made_swish():
    def forward(self, x):
        x = self.fc1(x)
        x = self.dropout(x * torch.sigmoid(x))
        return self.fc3(F.relu(self.fc2(x)))

    net = Forward(forward, **linears(6, 5, 4, 3), dropout=nn.Dropout())
    return net, VECTORS, [("sigmoid", ("fc1",)), ("relu", ("fc2",))]


def written_in_place():
    def forward(self, x):
        out = x.new_zeros(len(x), 5)
        out[:, :] = F.relu(self.fc1(x))
        return self.fc2(out)

    return Forward(forward, **linears(6, 5, 3)), VECTORS, [("relu", ("fc1",))]


ZOO = {
    **{make.__name__: make for make in (mlp, functional, in_place, by_keyword, shared_module)},
    **{make.__name__: make for make in (residual, pre_activation, lenet, attention, autoencoder)},
    **{make.__name__: make for make in (two_heads, u_net, squeeze_and_excitation, data_dependent)},
    **{make.__name__: make for make in (lstm_head, used_twice, tied, lazy, embedding)},
    **{make.__name__: make for make in (weights_of_its_own, home_made_swish, written_in_place)},
    **{f"transformer-{first}": (lambda f=first: transformer(f)) for first in (True, False)},
    **{f"convolution-{rank}d": (lambda r=rank: convolution(r)) for rank in (1, 2, 3)},
}


@pytest.mark.parametrize("make", ZOO.values(), ids=ZOO)
def test_activations_and_the_layers_that_feed_them(make):
    net, example, expected = make()
    found = trace(net, example)
    assert fed(found) == expected
    layers = [path for _, paths in expected for path in paths]
    assert sorted(hidden(found)) == sorted(set(layers))


@pytest.mark.parametrize("dropout", [True, False])
@pytest.mark.parametrize("make", [v for k, v in ZOO.items() if k != "lazy"])
def test_in_eval_mode_float64_and_without_gradients(make, dropout):
    net, example, expected = make()
    net = net.double().eval()
    example = example.double() if example.is_floating_point() else example
    with torch.no_grad():
        assert fed(trace(net, example, dropout=dropout)) == expected
    assert not any(module.training for module in net.modules())


# --- details ------------------------------------------------------------------------------------


def test_names_are_torchs():
    expected = {
        nn.ReLU6: "relu6",
        nn.Hardtanh: "hardtanh",
        nn.PReLU: "prelu",
        nn.Softplus: "softplus",
        nn.Mish: "mish",
        nn.Softsign: "softsign",
        nn.LogSigmoid: "logsigmoid",
        nn.Tanhshrink: "tanhshrink",
        nn.RReLU: "rrelu",
        nn.GELU: "gelu",
    }
    for kind, name in expected.items():
        found = trace(nn.Sequential(nn.Linear(6, 5), kind(), nn.Linear(5, 2)), VECTORS)
        assert [(a.name, a.module) for a in found.activations] == [(name, "1")]


def test_owner_position_and_module():
    net, example, _ = in_place()
    found = trace(net, example).activations
    assert [(a.owner, a.position, a.module) for a in found] == [
        ("", 0, None),
        ("", 1, "act"),
        ("", 2, None),
    ]
    net, example, _ = autoencoder()
    assert [(a.owner, a.module) for a in trace(net, example).activations] == [
        ("0", "0.1"),
        ("1", "1.1"),
    ]


def test_a_wrapper_of_one_activation_is_an_activation():
    act = Forward(lambda self, x: F.relu(x))
    net = nn.Sequential(nn.Linear(6, 5), nn.Sequential(act), nn.Linear(5, 2))
    [found] = trace(net, VECTORS).activations
    assert (found.owner, found.module) == ("1", "1.0")


def test_shared_modules_and_repeated_places():
    net, example, _ = shared_module()
    found = trace(net, example)
    assert [(a.shared, a.calls) for a in found.activations] == [(True, 1), (True, 1)]
    block = nn.Sequential(nn.Linear(6, 6), nn.ReLU())
    found = trace(nn.Sequential(block, block, nn.Linear(6, 2)), VECTORS)
    assert [(a.shared, a.calls) for a in found.activations] == [(False, 2), (False, 2)]
    assert found.places == found.activations[:1]
    assert found.layers["0.0"].calls == 2


def test_an_activation_shared_with_the_head_is_shared():
    act = nn.Sigmoid()
    net = nn.Sequential(nn.Linear(6, 5), act, nn.Linear(5, 2), act)
    [found] = trace(net, VECTORS).activations
    assert (found.shared, found.calls) == (True, 1)


def test_shapes_and_unit_axes():
    net, example, _ = lenet()
    found = trace(net, example)
    assert [layer.shape for layer in found.hidden] == [(4, 4, 6, 6), (4, 5, 2, 2), (4, 6)]
    assert [a.shape for a in found.activations] == [(4, 4, 3, 3), (4, 5, 1, 1), (4, 6)]
    assert [layer.unit_axis for layer in found.hidden] == [1, 1, 1]
    net, example, _ = attention()
    assert trace(net, example).layers["up"].unit_axis == 2


@pytest.mark.parametrize(
    ("layer", "example", "move", "axis"),
    [
        (nn.Linear(6, 7), TOKENS, lambda x: x, 2),
        (nn.Linear(6, 7), TOKENS, lambda x: x.transpose(1, 2), 1),
        (nn.Linear(6, 7), TOKENS, lambda x: x.reshape(-1, 7), 1),
        (nn.Linear(6, 8), VECTORS, lambda x: x.view(-1, 2, 2, 2), 1),
        (nn.Linear(6, 7), TOKENS, lambda x: torch.cat([x, x], 2), 2),
        (nn.Conv2d(3, 7, 3), IMAGES, lambda x: x.permute(0, 2, 3, 1), 3),
        (nn.Conv2d(3, 7, 3), IMAGES, lambda x: x.flatten(2).transpose(1, 2), 2),
        (nn.Conv2d(3, 7, 3), IMAGES, lambda x: x.flatten(1), 1),
        (nn.Conv2d(3, 7, 3), IMAGES, lambda x: torch.cat([x, x], 1), 1),
    ],
)
def test_the_unit_axis_moves_with_the_tensor(layer, example, move, axis):
    def forward(self, x):
        return self.head(F.relu(move(self.layer(x))))

    [found] = trace(Forward(forward, layer=layer, head=nn.LazyLinear(2)), example).activations
    assert found.unit_axis == axis


def test_first_layers_see_the_input_and_nothing_else():
    def forward(self, x):
        latent = self.latent(self.query)
        return self.fc3(torch.cat([F.relu(self.fc1(x * 2)), self.fc2(x), x], 1) + latent)

    parts = {"fc1": nn.Linear(6, 5), "fc2": nn.Linear(6, 5), "fc3": nn.Linear(16, 2)}
    net = Forward(forward, **parts, latent=nn.Linear(2, 16))
    net.register_buffer("query", torch.randn(1, 2))
    found = trace(net, VECTORS)
    assert [path for path, layer in found.layers.items() if layer.first] == ["fc1", "fc2"]
    net, example, _ = embedding()
    assert not any(layer.first for layer in trace(net, example).layers.values())


# --- norms and dropout --------------------------------------------------------------------------


def test_norms_between_layers_and_activations():
    net, example, _ = residual()
    found = trace(net, example)
    norms = {layer.path: layer.norm for layer in found.hidden}
    assert norms == {"stem": None, "conv1": "bn1", "conv2": "bn2", "shortcut": None}
    assert {path: norm.absorbs for path, norm in found.norms.items()} == {
        "bn1": ("conv1",),
        "bn2": ("conv2",),
    }


def test_norms_of_pre_activation_blocks():
    net, example, _ = pre_activation()
    found = trace(net, example)
    assert {layer.path: layer.norm for layer in found.hidden} == {
        "stem": "blocks.0.bn1",
        "blocks.0.conv1": "blocks.0.bn2",
        "blocks.0.conv2": "blocks.1.bn1",
        "blocks.1.conv1": "blocks.1.bn2",
        "blocks.1.conv2": "bn",
    }
    # The skip connection carries the other biases past the norm.
    absorbed = [path for norm in found.norms.values() for path in norm.absorbs]
    assert absorbed == ["blocks.0.conv1", "blocks.1.conv1"]


def test_a_norm_behind_pooling_absorbs_no_bias_and_sees_the_pooled_shape():
    net, example, _ = lenet()
    found = trace(net, example)
    assert [(n.path, n.shape, n.absorbs) for n in found.norms.values()] == [
        ("2", (4, 4, 3, 3), ()),
        ("5", (4, 5, 2, 2), ("4",)),
    ]


def test_a_bias_that_is_used_elsewhere_too_is_not_absorbed():
    def forward(self, x):
        return self.fc2(F.relu(self.fc1(F.relu(self.norm(self.fc1(x))))))

    net = Forward(forward, **linears(6, 6, 2), norm=nn.BatchNorm1d(6))
    assert trace(net, VECTORS).norms["norm"].absorbs == ()

    def returns_both(self, x):
        y = self.fc1(x)
        return self.fc2(F.relu(self.norm(y))), y

    net = Forward(returns_both, **linears(6, 6, 2), norm=nn.BatchNorm1d(6))
    assert trace(net, VECTORS).norms["norm"].absorbs == ()


def test_a_norm_on_another_branch_is_not_the_layers():
    def forward(self, x):
        x = self.fc1(x)
        return self.fc2(F.relu(x)) + self.fc3(self.norm(x))

    net = Forward(forward, **linears(6, 5, 2), fc3=nn.Linear(5, 2), norm=nn.LayerNorm(5))
    assert trace(net, VECTORS).layers["fc1"].norm is None


def test_norms_and_dropout_behind_activations():
    net = nn.Sequential(
        *(nn.Linear(6, 5), nn.ReLU(), nn.BatchNorm1d(5), nn.Dropout()),
        *(nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 2), nn.Dropout()),
    )
    found = trace(net, VECTORS)
    assert [(a.norm, a.dropout) for a in found.activations] == [("2", "3"), (None, None)]
    assert found.norms["2"].unit_axis == 1
    assert found.layers["0"].norm is None


def test_a_dropout_that_learns_its_p_is_seen():
    net = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), ConcreteDropout(), nn.Linear(5, 2))
    assert trace(net, VECTORS).activations[0].dropout == "2"


def test_a_norm_of_a_residual_sum_does_not_follow_an_earlier_activation():
    def forward(self, x):
        x = F.relu(self.fc1(x))
        x = self.dropout(self.norm(x + self.fc2(x)))
        return self.fc3(x)

    parts = linears(6, 5, 5, 2)
    net = Forward(forward, **parts, norm=nn.LayerNorm(5), dropout=nn.Dropout())
    [found] = trace(net, VECTORS).activations
    assert (found.norm, found.dropout) == (None, None)


def test_dropout_behind_a_home_made_swish_is_seen():
    net, example, _ = home_made_swish()
    assert trace(net, example).activations[0].dropout == "dropout"


def test_functional_norm_and_dropout():
    def forward(self, x):
        x = F.dropout(F.relu(F.layer_norm(self.fc1(x), (5,))), 0.5, self.training)
        return self.fc3(F.batch_norm(F.relu(self.fc2(x)), None, None, training=True))

    found = trace(Forward(forward, **linears(6, 5, 4, 2)), VECTORS)
    assert found.layers["fc1"].norm == FUNCTION
    assert [(a.norm, a.dropout) for a in found.activations] == [(None, FUNCTION), (FUNCTION, None)]
    assert found.norms == {}


@pytest.mark.parametrize(
    ("norm", "move", "axis"),
    [
        (nn.BatchNorm1d(7), lambda x: x.transpose(1, 2), 1),
        (nn.LayerNorm(7), lambda x: x, 2),
        (nn.LayerNorm([5, 7]), lambda x: x, 2),
        (nn.GroupNorm(1, 7), lambda x: x.transpose(1, 2), 1),
        (nn.RMSNorm(7), lambda x: x, 2),
    ],
)
def test_unit_axis_of_a_norm(norm, move, axis):
    def forward(self, x):
        return self.fc2(F.relu(move(self.norm(move(self.fc1(x))))))

    found = trace(Forward(forward, **linears(6, 7, 2), norm=norm), TOKENS)
    assert found.norms["norm"].unit_axis == axis


# --- what it observes ---------------------------------------------------------------------------


def test_observe_gets_true_inputs_and_outputs_of_in_place_activations():
    torch.manual_seed(1)
    net, example, _ = in_place()
    seen = []
    trace(net, example, lambda *values: seen.append(values))
    first = net.fc1(example)
    second = net.fc2(F.relu(first))
    third = net.fc3(F.elu(second))
    for (_, before, after), value, function in zip(
        seen, (first, second, third), (F.relu, F.elu, torch.tanh), strict=True
    ):
        torch.testing.assert_close(before, value)
        torch.testing.assert_close(after, function(value))


def test_without_dropout_norms_still_use_the_batch():
    def forward(self, x):
        x = F.dropout(self.drop(self.bn(self.fc1(x))), 0.5, self.training)
        return self.fc2(F.relu(x))

    net = Forward(forward, **linears(6, 5, 2), bn=nn.BatchNorm1d(5), drop=nn.Dropout(0.9))
    seen = []
    trace(net, VECTORS + 3, lambda *values: seen.append(values), dropout=False)
    [(_, before, _)] = seen
    x = net.fc1(VECTORS + 3)
    expected = (x - x.mean(0)) / (x.var(0, unbiased=False) + 1e-5).sqrt()
    torch.testing.assert_close(before, expected)


def test_a_frozen_norm_stays_frozen():
    class Frozen(nn.Sequential):
        def train(self, mode=True):
            super().train(mode)
            self[1].eval()
            return self

    net = Frozen(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 2))
    seen = []
    trace(net, VECTORS, lambda *values: seen.append(values), dropout=False)
    torch.testing.assert_close(seen[0][1], net[0](VECTORS) / (1 + 1e-5) ** 0.5)


def test_an_exception_that_the_network_catches_itself():
    def forward(self, x):
        try:
            x = self.block(x)
        except ValueError:
            x = self.fc1(x)
        return self.fc2(F.relu(x))

    def fail(self, x):
        raise ValueError

    net = Forward(forward, **linears(6, 5, 2), block=nn.Sequential(Forward(fail)))
    [found] = trace(net, VECTORS).activations
    assert (found.owner, found.layers) == ("", ("fc1",))


class Halving(nn.Module):
    """A norm of a room that trace does not know, with an activation inside."""

    normalizes = True

    def forward(self, x):
        return torch.tanh(x) / 2


def test_a_norm_that_says_so_is_one_and_its_inside_is_not_looked_at():
    layers = nn.Linear(4, 6), Halving(), nn.ReLU(), nn.Linear(6, 6), nn.GELU(), Halving()
    found = trace(nn.Sequential(*layers, nn.Linear(6, 2)), torch.randn(3, 4))
    assert [a.name for a in found.activations] == ["relu", "gelu"]
    assert [layer.norm for layer in found.hidden] == ["1", None]
    assert [a.norm for a in found.activations] == [None, "5"]
    assert found.norms["1"].absorbs == ("0",)
    assert found.norms["5"].shape == (3, 6)


@pytest.mark.parametrize("norm", [nn.BatchNorm1d(6), Halving()])
def test_norms_called_by_keyword_are_found(norm: nn.Module):
    name = "input" if isinstance(norm, nn.BatchNorm1d) else "x"
    net = Forward(
        lambda self, x: self.fc2(F.relu(self.norm(**{name: self.fc1(x)}))),
        norm=norm,
        **linears(6, 6, 2),
    )
    found = trace(net, VECTORS)
    assert found.layers["fc1"].norm == "norm"
    assert found.norms["norm"].shape == (*VECTORS.shape[:-1], 6)
    assert found.activations


class Masked(nn.Dropout):
    def forward(self, x):
        return x * torch.ones_like(x).bernoulli(1 - self.p)


def test_a_dropout_that_calls_no_function_of_torchs_is_one():
    layers = nn.Linear(4, 6), nn.ReLU(), Masked(0.3), nn.Linear(6, 2)
    [activation] = trace(nn.Sequential(*layers), torch.randn(3, 4)).activations
    assert activation.dropout == "2"
