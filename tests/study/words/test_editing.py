"""Words that put layers of normwise.layers into networks: where they can, and stacked."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from normwise.data import Data, Split
from normwise.errors import UsageError
from normwise.layers import (
    BatchNorm1d,
    BatchNorm2d,
    ChannelsLast,
    ConcreteDropout,
    DropBlock2d,
    DropConnect,
    DynamicTanh,
    FilterResponseNorm,
    GaussianDropout,
    LockedDropout,
    StochasticDepth,
    Uout,
    WeightStandardization,
    WhitenNorm1d,
    WhitenNorm2d,
)
from normwise.stack import Alone, Budget, Objective, Recipe, Stacked, seeded, train
from normwise.study.variants import parse_variants


def mlp() -> nn.Module:
    return nn.Sequential(
        *(nn.Flatten(), nn.Linear(24, 8), nn.ReLU(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3))
    )


def cnn() -> nn.Module:
    layers = nn.Conv2d(2, 4, 2), nn.ReLU(), nn.Conv2d(4, 4, 2, padding=1), nn.ReLU()
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(48, 8), nn.ReLU(), nn.Linear(8, 3))


def lines() -> nn.Module:
    layers = nn.Conv1d(6, 4, 2), nn.ReLU(), nn.Flatten(), nn.Linear(12, 3)
    return nn.Sequential(nn.Flatten(1, 2), *layers)


def tokens() -> nn.Module:
    layers = nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 6), nn.GELU()
    return nn.Sequential(nn.Flatten(1, 2), *layers, nn.Linear(6, 3), Mean())


class Mean(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(4, 5, batch_first=True), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x.flatten(1, 2))[0][:, -1])


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.norm = nn.Linear(24, 24), nn.LayerNorm(24)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.norm(torch.relu(self.fc(x)))


def residual() -> nn.Module:
    return nn.Sequential(nn.Flatten(), Residual(), Residual(), nn.Linear(24, 3))


IMAGES = 2, 3, 4

Factory = Callable[[], nn.Module]

WORDS: list[tuple[str, Factory, dict[type[nn.Module], int]]] = [
    ("ghost=5", mlp, {BatchNorm1d: 2}),
    ("ghost=5", tokens, {ChannelsLast: 2, BatchNorm1d: 2}),
    ("ghost=5:after", cnn, {BatchNorm2d: 2, BatchNorm1d: 1}),
    ("renorm", cnn, {BatchNorm2d: 2, BatchNorm1d: 1}),
    ("whiten", mlp, {WhitenNorm1d: 2}),
    ("whiten", cnn, {WhitenNorm2d: 2, WhitenNorm1d: 1}),
    ("dyt", mlp, {DynamicTanh: 2}),
    ("dyt+dropout=0.2", cnn, {DynamicTanh: 3, nn.Dropout: 3}),
    ("dropout=0.2", cnn, {nn.Dropout: 3}),
    ("gaussian-dropout=0.2", mlp, {GaussianDropout: 2}),
    ("uout=0.3", cnn, {Uout: 3}),
    ("concrete-dropout", mlp, {ConcreteDropout: 2}),
    ("locked-dropout=0.2", tokens, {LockedDropout: 2}),
    ("dropblock=0.2", cnn, {DropBlock2d: 2}),
    ("dropconnect=0.2", cnn, {DropConnect: 3}),
    ("droppath=0.2", residual, {StochasticDepth: 2}),
    ("droppath=0.2+dropout=0.1", residual, {StochasticDepth: 2, nn.Dropout: 2}),
    ("dropconnect=0.2", Recurrent, {DropConnect: 1}),
    ("ws+group=2", cnn, {WeightStandardization: 3, nn.GroupNorm: 3}),
    ("ws+dropconnect=0.2", mlp, {WeightStandardization: 2, DropConnect: 2}),
]


def edited(text: str, factory: Factory, seed: int = 0) -> nn.Module:
    [variant] = parse_variants([text])
    with seeded(seed):
        network = factory().double()
    return variant.edit(network, torch.randn(6, *IMAGES, dtype=torch.float64), seed)


@pytest.mark.parametrize(("text", "factory", "expected"), WORDS)
def test_what_is_put_in(text: str, factory: Factory, expected: dict[type[nn.Module], int]):
    network = edited(text, factory)
    for kind, count in expected.items():
        assert sum(isinstance(module, kind) for module in network.modules()) == count
    before = factory().state_dict()
    biases = {name for name in before if name.endswith("bias")}  # a norm may undo them
    assert set(before) - biases <= set(network.state_dict())
    for tensor in (*network.parameters(), *network.buffers()):
        assert tensor.dtype in (torch.float64, torch.int64)
    for training in (True, False):
        network.train(training)(torch.randn(6, *IMAGES, dtype=torch.float64)).sum().backward()


def test_the_values_reach_the_layers():
    [norm, _] = [m for m in edited("ghost=5", mlp).modules() if isinstance(m, BatchNorm1d)]
    assert norm.virtual_batch_size == 5
    for text, p in [("uout=0.3", 0.3), ("dropblock=0.25", 0.25), ("dropconnect=0.4", 0.4)]:
        kinds = Uout, DropBlock2d, DropConnect
        network = edited(text, cnn)
        assert {m.p for m in network.modules() if isinstance(m, kinds)} == {p}
    wide = nn.Sequential(nn.Linear(4, 130), nn.ReLU(), nn.Linear(130, 2))
    [variant] = parse_variants(["whiten"])
    variant.edit(wide, torch.randn(300, 4), 0)
    assert wide[0].norm.num_groups == 5  # the largest divisor of 130 up to 64 is 26


REFUSED = {
    ("frn", mlp): "filter response norm needs positions to average over",
    ("frn", cnn): "5 gives one value per channel",
    ("dropblock=0.1", mlp): "no place for dropblock: it needs feature maps, (N, C, H, W),",
    ("locked-dropout=0.1", cnn): "it needs sequences of features, (N, L, C),",
    ("locked-dropout=0.1", lines): "the shapes are (6, 4, 3); dropout=P would work",
    ("gaussian-dropout=0.1", Recurrent): "no place for gaussian-dropout=0.1: in this network",
    ("droppath=0.1", mlp): "no place for droppath=0.1: this network has no residual branch",
    ("ws", Recurrent): "no place for ws: in this network no Linear or convolution",
    (
        "dropconnect=0.1",
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(24, 3)),
    ): "no recurrent layer",
    (
        "ws",
        lambda: nn.Sequential(
            *(nn.Flatten(), nn.Linear(24, 1), nn.ReLU()),
            *(nn.Linear(1, 4), nn.ReLU(), nn.Linear(4, 1), nn.ReLU(), nn.Linear(1, 3)),
        ),
    ): "3: a weight of shape (4, 1) has one value per unit",
}


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case[0])
def test_where_it_cannot_stand(case: tuple[str, Factory]):
    text, factory = case
    network = factory().double()
    before, state = repr(network), {n: t.clone() for n, t in network.state_dict().items()}
    [variant] = parse_variants([text])
    with pytest.raises(UsageError) as caught:
        variant.edit(network, torch.randn(6, *IMAGES, dtype=torch.float64), 0)
    assert REFUSED[case] in str(caught.value)
    assert repr(network) == before
    assert all(torch.equal(t, state[n]) for n, t in network.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())


def test_frn_stands_at_convolutions():
    layers = nn.Conv2d(2, 4, 2), nn.ReLU(), nn.Conv2d(4, 4, 2, padding=1), nn.ReLU()
    network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(48, 3)).double()
    [variant] = parse_variants(["frn"])
    x = torch.randn(6, *IMAGES, dtype=torch.float64)
    variant.edit(network, x, 0)
    assert isinstance(network[0].norm, FilterResponseNorm)
    y = network[0](x)
    torch.testing.assert_close(
        y.square().mean((2, 3)), torch.ones(6, 4).double(), rtol=1e-3, atol=0
    )


def test_another_word_takes_its_place():
    x = torch.randn(6, *IMAGES, dtype=torch.float64)
    network = edited("dyt+gaussian-dropout=0.2", cnn)
    [batch] = parse_variants(["batch+uout=0.1"])
    batch.edit(network, x, 0)
    kinds = [type(m).__name__ for m in network.modules()]
    assert "DynamicTanh" not in kinds
    assert "GaussianDropout" not in kinds
    assert kinds.count("BatchNorm2d") == 2
    assert kinds.count("Uout") == 3
    [plain] = parse_variants(["dropout=0.5"])
    plain.edit(network, x, 0)
    assert {m.p for m in network.modules() if isinstance(m, Uout)} == {0.5}
    [learned] = parse_variants(["concrete-dropout"])
    learned.edit(network, x, 0)
    assert sum(isinstance(m, ConcreteDropout) for m in network.modules()) == 3
    plain.edit(network, x, 0)
    assert not any(isinstance(m, ConcreteDropout | Uout) for m in network.modules())
    assert [m.p for m in network.modules() if type(m) is nn.Dropout] == [0.5] * 3
    [again] = parse_variants(["dropconnect=0.2"])
    again.edit(network, x, 0)
    again.edit(network, x, 0)
    assert sum(isinstance(m, DropConnect) for m in network.modules()) == 3


def data() -> Data:
    draw = torch.Generator().manual_seed(1)
    splits = []
    for n in (32, 12, 12):
        x = torch.randn(n, *IMAGES, generator=draw, dtype=torch.float64)
        splits.append(Split(x, (x.mean((1, 2, 3)) > 0).long()))
    return Data("made", *splits, task="classes", classes=3)


@pytest.mark.parametrize(
    ("text", "factory"),
    [
        ("ghost=5", mlp),
        ("renorm", mlp),
        ("whiten+concrete-dropout", mlp),
        ("dyt+gaussian-dropout=0.2", cnn),
        ("locked-dropout=0.2", tokens),
        ("ws+dropconnect=0.2+uout=0.1", cnn),
        ("dropconnect=0.2", Recurrent),
        ("droppath=0.4", residual),
    ],
)
def test_stacked_is_alone(text: str, factory: Factory):
    seeds = range(3)
    objective, recipe = Objective("classes"), Recipe("sgd", lr=0.02)
    budget = Budget(steps=4, batch_size=8, evaluate_every=2)
    example = Split(data().train.x[:8], data().train.y[:8])
    build: Callable[[int], Any] = partial(edited, text, factory)
    stack = Stacked([build(s) for s in seeds], [recipe] * 3, objective, seeds, example)
    together = train(stack, seeds, data(), budget)
    [alone] = train(Alone(build(2), recipe, objective), [2], data(), budget)
    for ours, theirs in zip(together[2].evaluations, alone.evaluations, strict=True):
        assert ours.val_loss == pytest.approx(theirs.val_loss, rel=1e-9)
    assert together[2].test_loss == pytest.approx(alone.test_loss, rel=1e-9)
