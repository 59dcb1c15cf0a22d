"""A run in a stack is the run alone: for every layer, optimizer and setting."""

import math
import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from normwise.data import Data, Split
from normwise.edit import insert_dropout, insert_norm
from normwise.stack import Budget, NotStackable, Objective, Recipe, Stacked, train
from normwise.stack.evaluation import evaluate
from normwise.stack.forms import mode

CLASSES = 3
MOMENTUM = Recipe("sgd", lr=0.05, momentum=0.9, weight_decay=0.01)
OBJECTIVE = Objective("classes")


class Call(nn.Module):
    """Modules, and a forward that is a function of them and the input."""

    def __init__(self, forward: Callable[[Any, Tensor], Tensor], **modules: nn.Module) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)
        self._call = forward

    def forward(self, x: Tensor) -> Tensor:
        return self._call(self, x)


def head(features: int) -> nn.Linear:
    return nn.Linear(features, CLASSES)


def mlp(*between: nn.Module, features: int = 8) -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), *between, head(features))


def flat(*layers: nn.Module, features: int) -> nn.Module:
    return nn.Sequential(*layers, nn.Flatten(), head(features))


class Scale(nn.Module):
    """The users' own: buffers that the forward updates in place or anew, and an odd parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("largest", torch.ones(6))
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))
        self.register_buffer("average", torch.zeros(6))
        self.gain = nn.Parameter(torch.rand(()))
        self.unused = nn.Parameter(torch.rand(3))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.largest.copy_(torch.maximum(self.largest, x.detach().abs().amax(0)))
            self.calls += 1
            self.average = 0.9 * self.average + 0.1 * x.detach().mean(0)
        return self.gain * (x - self.average) / self.largest


class Tied(nn.Module):
    """An embedding whose weights are also the last layer's."""

    def __init__(self, embedding_first: bool) -> None:
        super().__init__()
        modules = {"embedding": nn.Embedding(7, 4), "out": nn.Linear(4, 7)}
        for name in sorted(modules, reverse=not embedding_first):
            self.add_module(name, modules[name])
        self.out.weight = self.embedding.weight
        self.body = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.body(self.embedding(x).mean(1)).tanh())


def residual() -> nn.Module:
    body = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.BatchNorm2d(2), nn.ReLU(inplace=True))
    return Call(
        lambda self, x: self.head((x + self.body(x)).relu().mean((2, 3))), body=body, head=head(2)
    )


def frozen() -> nn.Module:
    network = mlp(nn.BatchNorm1d(8), nn.ReLU())
    network[0].weight.requires_grad_(False)
    return network


def twice() -> nn.Module:
    again = nn.Linear(8, 8)
    return mlp(again, nn.ReLU(), again, nn.BatchNorm1d(8))


def recurrent(kind: type[nn.Module], **options: Any) -> nn.Module:
    features = 5 * (2 if options.get("bidirectional") else 1)
    return Call(
        lambda self, x: self.head(self.rnn(x)[0][:, -1]),
        rnn=kind(4, 5, batch_first=True, **options),
        head=head(features),
    )


def attention(p: float = 0.0, need_weights: bool = False) -> nn.Module:
    return Call(
        lambda self, x: self.head((x + self.attend(x, x, x, need_weights=need_weights)[0]).mean(1)),
        attend=nn.MultiheadAttention(4, 2, batch_first=True, dropout=p),
        head=head(4),
    )


def transformer(p: float = 0.0, **options: Any) -> nn.Module:
    layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=p, batch_first=True, **options)
    return Call(lambda self, x: self.head(self.layer(x).mean(1)), layer=layer, head=head(4))


def activations() -> nn.Module:
    kinds = (
        nn.ReLU, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Sigmoid,
        nn.Tanh, nn.Softplus, nn.Softsign, nn.Hardtanh, nn.Hardsigmoid, nn.Hardswish, nn.ReLU6,
        nn.LogSigmoid, nn.Tanhshrink, nn.Hardshrink, nn.Softshrink, nn.PReLU,
    )  # fmt: skip
    branches = [nn.Sequential(nn.Linear(6, 2), kind(), nn.Linear(2, CLASSES)) for kind in kinds]
    return Call(lambda s, x: sum(branch(x) for branch in s.all), all=nn.ModuleList(branches))


def edited() -> nn.Module:
    example = torch.randn(4, 6)
    network = nn.Sequential(mlp(nn.ReLU(), nn.Linear(8, 8), nn.ReLU()))
    return insert_dropout(insert_norm(network, "batch", example), 0.2, example)


IMAGE, LINE, VOLUME, WORDS = (2, 6, 6), (2, 8), (1, 4, 4, 4), (5, 4)

Zoo = dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]]

LAYERS: Zoo = {
    "linear": (lambda: mlp(nn.Linear(8, 5, bias=False), nn.ReLU(), features=5), (6,)),
    "linear-3d": (lambda: flat(nn.Linear(4, 3), nn.ReLU(), features=15), WORDS),
    "linear-4d": (lambda: flat(nn.Linear(6, 3), nn.ReLU(), features=36), IMAGE),
    "bilinear": (
        lambda: Call(lambda s, x: s.b(x[:, :2], x[:, 2:]), b=nn.Bilinear(2, 4, CLASSES)),
        (6,),
    ),
    "activations": (activations, (6,)),
    "conv1d": (
        lambda: flat(
            nn.Conv1d(2, 2, 1, groups=2, bias=False),
            nn.Conv1d(2, 4, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv1d(4, 3, 3, dilation=2, padding=2),
            features=12,
        ),
        LINE,
    ),
    "conv2d": (
        lambda: flat(
            nn.Conv2d(2, 3, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(3, 2, (3, 2), padding=(1, 0), bias=False),
            features=60,
        ),
        IMAGE,
    ),
    "conv2d-stride": (
        lambda: flat(
            nn.Conv2d(2, 4, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(4, 2, 2, stride=(1, 2), dilation=(2, 1)),
            features=2,
        ),
        IMAGE,
    ),
    "conv2d-groups": (
        lambda: flat(
            nn.Conv2d(2, 4, 3, groups=2), nn.Conv2d(4, 4, 3, groups=4, bias=False), features=16
        ),
        IMAGE,
    ),
    "conv2d-same": (
        lambda: flat(
            nn.Conv2d(2, 2, 3, padding="same"),
            nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular"),
            features=72,
        ),
        IMAGE,
    ),
    "conv3d": (
        lambda: flat(nn.Conv3d(1, 2, 2), nn.ReLU(), nn.Conv3d(2, 2, 2, stride=2), features=2),
        VOLUME,
    ),
    "conv-transpose": (
        lambda: flat(
            nn.ConvTranspose2d(2, 3, 3, stride=2), nn.Conv2d(3, 1, 3, stride=3), features=16
        ),
        IMAGE,
    ),
    "batch-norm": (
        lambda: nn.Sequential(
            nn.BatchNorm1d(6), mlp(nn.BatchNorm1d(8, momentum=0.7, eps=0.1), nn.ReLU())
        ),
        (6,),
    ),
    "batch-norm-plain": (
        lambda: nn.Sequential(
            nn.BatchNorm1d(6, affine=False, track_running_stats=False),
            mlp(
                nn.BatchNorm1d(8, affine=False),
                nn.Linear(8, 8),
                nn.BatchNorm1d(8, track_running_stats=False),
            ),
        ),
        (6,),
    ),
    "batch-norm-line": (
        lambda: flat(nn.Conv1d(2, 3, 3), nn.BatchNorm1d(3), nn.ReLU(), features=18),
        LINE,
    ),
    "batch-norm-image": (
        lambda: flat(
            nn.BatchNorm2d(2, affine=False, track_running_stats=False),
            nn.Conv2d(2, 3, 3),
            nn.BatchNorm2d(3),
            nn.ReLU(),
            nn.Conv2d(3, 3, 1),
            nn.BatchNorm2d(3, affine=False),
            features=48,
        ),
        IMAGE,
    ),
    "batch-norm-volume": (
        lambda: flat(nn.Conv3d(1, 2, 2), nn.BatchNorm3d(2), features=54),
        VOLUME,
    ),
    "instance-norm": (
        lambda: flat(
            nn.Conv1d(2, 3, 3),
            nn.InstanceNorm1d(3, affine=True),
            nn.ReLU(),
            nn.InstanceNorm1d(3, track_running_stats=True),
            features=18,
        ),
        LINE,
    ),
    "group-norm": (
        lambda: flat(nn.Conv2d(2, 4, 3), nn.GroupNorm(2, 4), nn.ReLU(), features=64),
        IMAGE,
    ),
    "layer-norm": (
        lambda: flat(nn.LayerNorm((5, 4), elementwise_affine=False), nn.LayerNorm(4), features=20),
        WORDS,
    ),
    "rms-norm": (lambda: mlp(nn.RMSNorm(8), nn.GELU()), (6,)),
    "inplace": (
        lambda: mlp(nn.ReLU(inplace=True), nn.Linear(8, 8), nn.Dropout(0.3, inplace=True)),
        (6,),
    ),
    "max-pool": (
        lambda: flat(
            nn.Conv2d(2, 3, 1), nn.MaxPool2d(2), nn.ReLU(), nn.MaxPool2d(3, 2, 1), features=12
        ),
        IMAGE,
    ),
    "average-pool": (
        lambda: flat(nn.Conv2d(2, 3, 3), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d((1, 2)), features=6),
        IMAGE,
    ),
    "line-pool": (
        lambda: flat(nn.Conv1d(2, 3, 1), nn.MaxPool1d(2), nn.AvgPool1d(2), features=6),
        LINE,
    ),
    "adaptive-max-pool": (
        lambda: flat(nn.Conv2d(2, 3, 3), nn.AdaptiveMaxPool2d(1), features=3),
        IMAGE,
    ),
    "volume-pool": (lambda: flat(nn.Conv3d(1, 3, 1), nn.MaxPool3d(2), features=24), VOLUME),
    "unflatten": (
        lambda: flat(nn.Linear(6, 8), nn.Unflatten(1, (2, 4)), nn.Conv1d(2, 1, 2), features=3),
        (6,),
    ),
    "reshape": (
        lambda: Call(
            lambda s, x: s.head(s.norm(x.view(len(x), 2, -1).permute(0, 2, 1).reshape(-1, 72))),
            norm=nn.BatchNorm1d(72),
            head=head(72),
        ),
        IMAGE,
    ),
    "softmax": (
        lambda: Call(lambda s, x: s.body(x).softmax(-1).clamp_min(1e-3).log(), body=mlp(nn.Tanh())),
        (6,),
    ),
    "residual": (residual, IMAGE),
    "twice": (twice, (6,)),
    "frozen": (frozen, (6,)),
    "buffers": (lambda: nn.Sequential(Scale(), mlp(nn.ReLU())), (6,)),
    "tied": (lambda: Tied(embedding_first=True), WORDS[:1]),
    "tied-last": (lambda: Tied(embedding_first=False), WORDS[:1]),
    "attention": (lambda: attention(), WORDS),
    "attention-dropout": (lambda: attention(need_weights=True, p=0.3), WORDS),
    "transformer": (lambda: transformer(norm_first=True, activation="gelu"), WORDS),
    "transformer-dropout": (lambda: transformer(p=0.2), WORDS),
    "lstm": (lambda: recurrent(nn.LSTM), WORDS),
    "lstm-dropout": (
        lambda: recurrent(nn.LSTM, num_layers=2, dropout=0.3),
        WORDS,
    ),
    "gru": (lambda: recurrent(nn.GRU, bidirectional=True), WORDS),
    "rnn": (lambda: recurrent(nn.RNN, bias=False, nonlinearity="relu"), WORDS),
    "dropout": (
        lambda: mlp(nn.ReLU(), nn.Dropout(0.4), nn.Linear(8, 8), nn.Dropout(0.0), nn.Dropout()),
        (6,),
    ),
    "dropout-everything": (lambda: mlp(nn.Dropout(1.0), nn.Linear(8, 8), nn.Dropout(0.5)), (6,)),
    "dropout-image": (
        lambda: flat(
            nn.Conv2d(2, 4, 3), nn.Dropout2d(0.3), nn.MaxPool2d(2), nn.Dropout(0.2), features=16
        ),
        IMAGE,
    ),
    "dropout-line": (lambda: flat(nn.Conv1d(2, 4, 3), nn.Dropout1d(0.3), features=24), LINE),
    "dropout-volume": (lambda: flat(nn.Conv3d(1, 4, 2), nn.Dropout3d(0.3), features=108), VOLUME),
    # Without an axis of samples, as torch takes these, whole samples are dropped.
    "dropout-rows": (lambda: mlp(nn.Dropout1d(0.3)), (6,)),
    "dropout-images": (lambda: flat(nn.Conv2d(2, 4, 3), nn.Dropout3d(0.3), features=64), IMAGE),
    "dropout-transposed": (
        lambda: Call(
            lambda s, x: s.head(F.dropout(s.body(x).mT, 0.3, s.training).flatten(1)),
            body=nn.Linear(4, 3),
            head=head(15),
        ),
        WORDS,
    ),
    "edited": (edited, (6,)),
}


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # nn.Bilinear under torch.vmap
@pytest.mark.parametrize("name", LAYERS)
def test_run_in_a_stack_is_the_run_alone(name: str, tools: Any):
    factory, shape = LAYERS[name]
    data = tools.make_data(shape, tokens=7 if name.startswith("tied") else 0)
    tools.agree(lambda seed: tools.built(factory, seed), [MOMENTUM] * 8, data, runs=(5,))


RECIPES = {
    "sgd": Recipe("sgd", lr=0.1),
    "decay": Recipe("sgd", lr=0.1, weight_decay=0.1),
    "momentum": Recipe("sgd", lr=0.05, momentum=0.9),
    "nesterov": Recipe("sgd", lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adam": Recipe("adam", lr=0.02),
    "adam-decay": Recipe("adam", lr=0.02, weight_decay=0.1),
    "adamw": Recipe("adamw", lr=0.02),
    "adamw-decay": Recipe("adamw", lr=0.02, weight_decay=0.3),
}


def various() -> nn.Module:
    return nn.Sequential(Scale(), mlp(nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2)))


@pytest.mark.parametrize("name", RECIPES)
def test_every_optimizer(name: str, tools: Any):
    network = partial(tools.built, various)
    tools.agree(network, [RECIPES[name]] * 8, tools.make_data(), runs=(0, 5))


MIXED = [
    Recipe("sgd", lr=0.1),
    Recipe("sgd", lr=0.02, momentum=0.9),
    Recipe("sgd", lr=0.02, momentum=0.9),
    Recipe("sgd", lr=0.05, weight_decay=0.1),
    Recipe("sgd", lr=0.05, momentum=0.5, nesterov=True),
    Recipe("sgd", lr=0.1),
]
MIXED_ADAMW = [Recipe("adamw", lr=10.0**-k, weight_decay=0.1 * k) for k in (1, 2, 2, 3)]


@pytest.mark.parametrize("recipes", [MIXED, MIXED_ADAMW], ids=["sgd", "adamw"])
def test_settings_differ_between_the_runs_of_a_stack(recipes: list[Recipe], tools: Any):
    tools.agree(partial(tools.built, various), recipes, tools.make_data())


def test_p_differs_between_the_runs_of_a_stack(tools: Any):
    p = [0.0, 0.2, 0.5, 1.0]

    def network(seed: int) -> nn.Module:
        return tools.built(lambda: mlp(nn.Dropout(0.1), nn.ReLU(), nn.Dropout(p[seed])), seed)

    data = tools.make_data()
    tools.agree(network, [MOMENTUM] * 4, data)
    stack = stacked([network(seed) for seed in range(4)], data)
    assert [stack.network(run).get_submodule("3").p for run in range(4)] == p
    stack.keep([1, 3])
    assert [stack.network(run).get_submodule("3").p for run in range(2)] == [0.2, 1.0]


OBJECTIVES = {
    "binary": (Objective("classes"), "binary", 1, ()),
    "regression": (Objective("regression"), "regression", 1, ()),
    "outputs": (Objective("regression", "smooth_l1_loss"), "regression", 2, (2,)),
    "smoothed": (
        Objective("classes", lambda o, y: F.cross_entropy(o, y, label_smoothing=0.1)),
        "classes",
        CLASSES,
        (),
    ),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_kind_of_target(name: str, tools: Any):
    objective, task, outputs, target = OBJECTIVES[name]
    data = tools.make_data((6,), task, target=target)

    def network(seed: int) -> nn.Module:
        return tools.built(lambda: nn.Sequential(mlp(nn.Tanh()), nn.Linear(3, outputs)), seed)

    tools.agree(network, [RECIPES["adam"]] * 3, data, objective=objective)


def test_sequences_of_classes(tools: Any):
    def network(seed: int) -> nn.Module:
        return tools.built(
            lambda: nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, CLASSES)), seed
        )

    tools.agree(network, [RECIPES["sgd"]] * 3, tools.make_data(WORDS, target=(5,)))


IN_FLOAT32 = (
    "linear",
    "conv2d",
    "batch-norm",
    "batch-norm-image",
    "transformer",
    "dropout",
)


@pytest.mark.parametrize("name", IN_FLOAT32)
def test_float32_strays_no_further_from_float64_than_alone(name: str, tools: Any):
    factory, shape = LAYERS[name]

    def trained(train: Callable[..., Any], dtype: torch.dtype) -> Any:
        networks = [tools.built(factory, seed).float().to(dtype) for seed in range(4)]
        data = tools.make_data(shape, dtype=torch.float32)
        data = replace(data, **{n: cast(getattr(data, n), dtype) for n in ("train", "val", "test")})
        return train(networks, [MOMENTUM] * 4, range(4), data, OBJECTIVE, Budget(50, 16, 50))

    exact = trained(tools.train_alone, torch.float64)
    alone = tools.gap(trained(tools.train_alone, torch.float32), exact)
    stacked = tools.gap(trained(tools.train_stacked, torch.float32), exact)
    assert 0 < max(alone) < 1e-3
    assert max(stacked) <= 4 * max(alone)


def cast(split: Split, dtype: torch.dtype) -> Split:
    return Split(split.x.to(dtype), split.y)


class Drawn(nn.Module):
    """A network out of words, each a layer."""

    def __init__(self, words: list[str], p: float, image: bool) -> None:
        super().__init__()
        norm = nn.BatchNorm2d if image else nn.BatchNorm1d
        makers: dict[str, Callable[[], nn.Module]] = {
            "layer": lambda: nn.Conv2d(4, 4, 3, padding=1) if image else nn.Linear(4, 4),
            "batch": lambda: norm(4),
            "bare": lambda: norm(4, affine=False, track_running_stats=False),
            "group": lambda: nn.GroupNorm(2, 4),
            "relu": lambda: nn.ReLU(inplace=True),
            "gelu": nn.GELU,
            "prelu": nn.PReLU,
            "drop": lambda: nn.Dropout(p),
            "channels": lambda: nn.Dropout2d(p) if image else nn.Dropout1d(p),
        }
        first = nn.Conv2d(2, 4, 3, stride=2) if image else nn.Linear(6, 4)
        between = [makers[word]() for word in words]
        self.body = nn.Sequential(first, *between, nn.Tanh(), nn.Flatten())
        self.head = head(16 if image else 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


WORD = st.sampled_from(
    ["layer", "batch", "bare", "group", "relu", "gelu", "prelu", "drop", "channels"]
)


@st.composite
def any_recipes(draw: st.DrawFn) -> list[Recipe]:
    kind = draw(st.sampled_from(["sgd", "adam", "adamw"]))
    recipe = st.builds(
        Recipe,
        st.just(kind),
        lr=st.sampled_from([0.01, 0.05, 0.1]),
        momentum=st.sampled_from([0.0, 0.9]),
        weight_decay=st.sampled_from([None, 0.1]),
    )
    return draw(st.lists(recipe, min_size=1, max_size=5))


@settings(max_examples=10)
@given(words=st.lists(WORD, max_size=5), image=st.booleans(), recipes=any_recipes(), draw=st.data())
def test_random_networks_and_settings(
    words: list[str], image: bool, recipes: list[Recipe], draw: st.DataObject, tools: Any
):
    p = [draw.draw(st.sampled_from([0.0, 0.1, 0.5]), label="p") for _ in recipes]

    def network(seed: int) -> nn.Module:
        return tools.built(lambda: Drawn(words, p[seed], image), seed)

    data = tools.make_data(IMAGE if image else (6,))
    tools.agree(network, recipes, data, runs={0, len(p) - 1}, budget=Budget(15, 16, 5))


def stacked(networks: list[nn.Module], data: Data, recipe: Recipe = MOMENTUM) -> Stacked:
    example = Split(data.train.x[:16], data.train.y[:16])
    return Stacked(networks, [recipe] * len(networks), OBJECTIVE, range(len(networks)), example)


def test_masks_do_not_depend_on_who_shares_the_stack(tools: Any):
    data, network = tools.make_data(), partial(tools.built, LAYERS["dropout"][0])
    args = data, OBJECTIVE, Budget(12, 16, 4)
    for company in ([3], [3, 1, 2], [0, 5, 3]):
        networks = [network(seed) for seed in company]
        trained = tools.train_stacked(networks, [MOMENTUM] * len(company), company, *args)
        place = company.index(3)
        ours = [trained[0][place]], [trained[1][place]]
        alone = tools.train_alone([network(3)], [MOMENTUM], [3], *args)
        assert tools.gap(ours, alone)[0] < 1e-13


class Explosive(nn.Module):
    """A perceptron whose loss becomes NaN at a step of the user's choice."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.body = mlp(nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3))
        self.register_buffer("left", torch.tensor(float(step)))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.left -= 1
        return self.body(x) / (self.left >= 0)


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam", "adamw-decay"])
def test_a_run_that_diverges_leaves_the_others_undisturbed(name: str, tools: Any):
    steps = [99, 7, 99, 20, 99]
    recipes = [RECIPES[name]] * 5
    if name != "sgd":  # spans that melt together when the run between them leaves
        recipes[1] = replace(recipes[1], lr=0.5)
    data, budget = tools.make_data(), Budget(30, 16, 5)

    def networks() -> list[nn.Module]:
        return [tools.built(partial(Explosive, step), seed) for seed, step in enumerate(steps)]

    alone = tools.train_alone(networks(), recipes, range(5), data, OBJECTIVE, budget)
    outcomes, states = tools.train_stacked(networks(), recipes, range(5), data, OBJECTIVE, budget)
    assert [o.status for o in outcomes] == ["done", "diverged", "done", "diverged", "done"]
    assert [o.steps for o in outcomes] == [o.steps for o in alone[0]] == [30, 10, 30, 25, 30]
    assert len(states) == 3
    survivors = ([outcomes[i] for i in (0, 2, 4)], states)
    assert max(tools.gap(survivors, [[each[i] for i in (0, 2, 4)] for each in alone])) < 1e-10
    for run in (1, 3):
        assert math.isnan(outcomes[run].test_loss)
        assert math.isnan(outcomes[run].evaluations[-1].train_loss)
        pairs = zip(outcomes[run].evaluations, alone[0][run].evaluations, strict=True)
        for ours, theirs in pairs:  # Adam at a rate of 0.5 makes much of rounding
            assert ours.val_loss == pytest.approx(theirs.val_loss, rel=1e-7, nan_ok=True)


def test_a_stack_may_end_with_nobody(tools: Any):
    data, networks = tools.make_data(), [tools.built(lambda: Explosive(3), s) for s in (0, 1)]
    stack = stacked(networks, data)
    outcomes = train(stack, [0, 1], data, Budget(30, 16, 5))
    assert [(o.status, o.steps) for o in outcomes] == [("diverged", 5)] * 2
    assert stack.size == 0
    assert stack.evaluate(data.val) == []


@pytest.mark.parametrize("task", ["classes", "regression"])
def test_evaluation_is_that_of_each_network(task: str, tools: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("normwise.stack.stacked.ROWS", 7)  # in several parts
    data = tools.make_data(task=task)
    networks = [tools.built(LAYERS["batch-norm"][0], seed) for seed in range(3)]
    if task == "regression":
        networks = [nn.Sequential(network, nn.Linear(3, 1).double()) for network in networks]
    example = Split(data.train.x[:16], data.train.y[:16])
    stack = Stacked(networks, [MOMENTUM] * 3, Objective(task), range(3), example)
    for _ in range(3):
        stack.step(example.x.expand(3, 16, 6), example.y.expand(3, 16))
    for run, (loss, metric, _) in enumerate(stack.evaluate(data.val)):
        network = stack.network(run).eval()
        with torch.no_grad():
            output, y = network(data.val.x), data.val.y
        if task == "classes":
            expected = F.cross_entropy(output, y), (output.argmax(1) == y).double().mean()
        else:
            residual = (output[:, 0] - y).square()
            expected = residual.mean(), 1 - residual.sum() / (y - y.mean()).square().sum()
        assert loss == pytest.approx(float(expected[0]), rel=1e-12)
        assert metric == pytest.approx(float(expected[1]), rel=1e-12)


def test_networks_of_the_user_are_left_alone(tools: Any):
    data, networks = tools.make_data(), [tools.built(various, seed).eval() for seed in range(3)]
    before = [tools.state_of(network) for network in networks]
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    stack = stacked(networks, data)
    given = stack.network(1)
    assert tools.distance(tools.state_of(given), before[1]) == 0
    with torch.no_grad():
        next(given.parameters()).zero_()
    stack.step(data.train.x[:48].view(3, 16, 6), data.train.y[:48].view(3, 16))
    assert [
        tools.distance(tools.state_of(n), b) for n, b in zip(networks, before, strict=True)
    ] == [0] * 3
    assert not any(module.training for network in networks for module in network.modules())
    assert all(p.grad is None for network in networks for p in network.parameters())
    assert tools.distance(tools.state_of(stack.network(1)), before[1]) > 0
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert (np.random.get_state()[1] == states[2]).all()


def wrong_gradient(form: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda x, *args, **kw: form(x + 0.01 * (x - x.detach()), *args, **kw)


def wrong_value(form: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda *args, **kw: form(*args, **kw) * 1.01


def wrong_statistics(form: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda *args, momentum, **kw: form(*args, momentum=1.01 * momentum, **kw)


@pytest.mark.parametrize(
    ("function", "planted"),
    [
        (F.linear, wrong_gradient),
        (F.linear, wrong_value),
        (F.batch_norm, wrong_gradient),
        (F.batch_norm, wrong_value),
        (F.batch_norm, wrong_statistics),
        (F.cross_entropy, wrong_value),
    ],
)
def test_a_wrong_form_is_found_out(
    function: Any, planted: Any, tools: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(mode._FORMS, function, planted(mode._FORMS[function]))
    networks = [tools.built(lambda: mlp(nn.BatchNorm1d(8)), seed) for seed in range(3)]
    with pytest.raises(NotStackable, match="differs from the network's own"):
        stacked(networks, tools.make_data())


class Viewing(nn.Module):
    """Convolutions of few and of many channels, and a view of what they give."""

    def __init__(self) -> None:
        super().__init__()
        self.few, self.many = nn.Conv2d(1, 3, 3), nn.Conv2d(3, 16, 2)
        self.norm, self.head = nn.GroupNorm(4, 16), nn.Linear(64, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = F.max_pool2d(self.norm(self.many(self.few(x))), 2)
        return self.head(y.view(len(y), -1))


def test_evaluation_of_wide_convolutions(tools: Any):
    data = tools.make_data((1, 7, 7))
    networks = [tools.built(Viewing, seed) for seed in range(3)]
    stack = stacked(networks, data)
    theirs = evaluate([network.eval() for network in networks], OBJECTIVE, data.val)
    for found, expected in zip(stack.evaluate(data.val), theirs, strict=True):
        assert found.loss == pytest.approx(expected.loss, rel=1e-12)
        assert found.metric == expected.metric


def test_memory_grows_with_the_runs(tools: Any):
    data = tools.make_data()
    few, many = (
        stacked([tools.built(various, seed) for seed in range(runs)], data).memory
        for runs in (2, 8)
    )
    assert many == pytest.approx(4 * few, rel=0.01)
