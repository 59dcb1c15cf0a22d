import functools
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from normwise.data import Data
from normwise.errors import UsageError
from normwise.stack import Objective, Own, Recipe
from normwise.study.factories import Workshop, make, resolve_factory
from normwise.study.variants import Variant, parse_variants

Net = Callable[[], nn.Module]


class Wide(nn.Linear):
    def __init__(self, width=4):
        super().__init__(6, width)


class NeedsWidth(nn.Linear):
    def __init__(self, width):
        super().__init__(6, width)


def refuse(model) -> str:
    with pytest.raises(UsageError) as caught:
        resolve_factory(model)
    [problem] = caught.value.problems
    return problem


def raising() -> nn.Module:
    raise RuntimeError("no such layer")


ONE = nn.Linear(6, 3)


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (raising, "raising raised RuntimeError: no such layer ("),
        (lambda: 3, "the factory returned a int, not an nn.Module: does it end with"),
        (lambda: None, "returned a NoneType"),
        (NeedsWidth, "NeedsWidth needs arguments (width)"),
        (functools.partial(nn.Linear, 6), "the factory needs arguments (out_features)"),
        (nn.Linear(6, 3), "the model is a network, and every seed needs a fresh one: give a fun"),
        (3, "the model is a int: give a function that makes a network, or its address"),
        (lambda: ONE, "the factory returns the same network twice"),
        (lambda: nn.Sequential(ONE, nn.ReLU()), "returns the same network twice"),
        (lambda: nn.LazyLinear(3), "returns lazy layers"),
        (lambda: exit(3), "the factory raised SystemExit"),
    ],
)
def test_what_makes_no_networks(model, told: str):
    assert told in refuse(model)


def test_an_error_in_the_factory_names_the_line():
    assert f"{Path(__file__).name}:" in refuse(raising)


@pytest.mark.parametrize(
    "model", [Wide, functools.partial(Wide, 5), lambda: Wide(7), lambda *args, **kwargs: Wide()]
)
def test_what_makes_networks(model):
    assert isinstance(resolve_factory(model)(), Wide)


def test_a_frozen_backbone_may_be_shared():
    backbone = nn.Linear(6, 6).requires_grad_(False)
    assert resolve_factory(lambda: nn.Sequential(backbone, nn.Linear(6, 3)))


def test_a_factory_is_found_by_its_address(tmp_path: Path):
    (tmp_path / "nets.py").write_text(
        "from torch import nn\ndef small():\n    return nn.Linear(2, 2)\nwidth = 3\n"
    )
    assert isinstance(resolve_factory(f"{tmp_path}/nets.py:small")(), nn.Linear)
    assert isinstance(resolve_factory("torch.nn:Identity")(), nn.Identity)
    assert "did you mean 'small'?" in refuse(f"{tmp_path}/nets.py:smal")
    assert "cannot be called" in refuse(f"{tmp_path}/nets.py:width")
    assert "no such file" in refuse(f"{tmp_path}/nats.py:small")
    assert "file.py:function" in refuse(f"{tmp_path}/nets.py")


def test_a_network_is_made_as_after_manual_seed(net: Net):
    for seed in (0, 5, 2**40):
        torch.manual_seed(seed)
        by_hand = net().state_dict()
        made = make(net, seed).state_dict()
        assert all(torch.equal(by_hand[name], made[name]) for name in by_hand)


def test_numpy_and_python_are_seeded_too():
    def noisy() -> nn.Module:
        network = nn.Linear(1, 2)
        network.weight.data = torch.tensor([[np.random.rand()], [random.random()]])
        return network

    assert torch.equal(make(noisy, 3).weight, make(noisy, 3).weight)
    assert not torch.equal(make(noisy, 3).weight, make(noisy, 4).weight)


def test_random_states_stay_also_where_the_factory_raises(net: Net):
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    make(net, 3)
    with pytest.raises(UsageError):
        make(raising, 3)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]
    assert random.getstate() == before[2]


def untuned(variants) -> tuple[list[Variant], list[Recipe]]:
    parsed = parse_variants(variants)
    return parsed, [Recipe()] * len(parsed)


def workshop(data: Data, factory: Net) -> Workshop:
    return Workshop(factory, data, Objective(data.task))


def test_variants_of_a_seed_start_alike_where_shapes_agree(data, net: Net):
    shop = workshop(data("classes"), net)
    names = "plain,batch,layer,group=2,dropout=0.5,input-dropout=0.1,lr=5x,act=tanh,wd=1"
    for seed in (0, 11):
        plain, *others = [shop.build(v, seed) for v in parse_variants(names)]
        reference = plain.state_dict()
        for network in others:
            shared = {n: p for n, p in network.state_dict().items() if n in reference}
            assert sum(p.numel() for n, p in shared.items() if "weight" in n) >= 6 * 8 + 8 * 3
            for name, value in shared.items():
                assert torch.equal(value, reference[name]), name


def test_seeds_start_differently(data, net: Net):
    shop = workshop(data("classes"), net)
    for variant in parse_variants("plain,batch,init=he,init=normal=0.1"):
        first, second = shop.build(variant, 0), shop.build(variant, 1)
        weights = [next(n.parameters()) for n in (first, second)]
        assert not torch.equal(*weights)
        again = next(shop.build(variant, 0).parameters())
        assert torch.equal(weights[0], again)


def test_a_variant_may_bring_its_own_factory(data, net: Net):
    shop = workshop(data("classes"), net)
    network = shop.build(Variant("mine", factory=lambda: nn.Linear(6, 3)), 2)
    torch.manual_seed(2)
    assert torch.equal(network.weight, nn.Linear(6, 3).weight)


def complaints(task: str, factory: Net, variants="plain", data=None, loss=None) -> tuple[str, ...]:
    loaded = data(task)
    shop = Workshop(factory, loaded, Objective(loaded.task, loss))
    with pytest.raises(UsageError) as caught:
        shop.check(make(shop.factory, 0), *untuned(variants), 0, 16)
    return caught.value.problems


@pytest.mark.parametrize(
    ("task", "factory", "told"),
    [
        ("classes", lambda: nn.Linear(6, 2), "gives 2 outputs, and the data has 3 classes"),
        ("classes", lambda: nn.Linear(6, 1), "gives 1 output, and the data has 3 classes"),
        (
            "classes",
            lambda: nn.Sequential(nn.Linear(6, 1), nn.Flatten(0)),
            "gives shape (8,) for 8 samples, and 3 classes need (8, 3): one output per class",
        ),
        ("binary", lambda: nn.Sequential(nn.Linear(6, 2), nn.Flatten(0)), "need (8, 2)"),
        ("regression", lambda: nn.Linear(6, 3), "its last layer needs 1 output"),
        ("outputs", lambda: nn.Linear(6, 1), "its last layer needs 2 outputs"),
        ("classes", lambda: nn.Linear(5, 3), "the network fails on a batch of shape (8, 6) (fl"),
        ("classes", lambda: nn.RNN(6, 3), "returns a tuple, and a tensor is needed"),
    ],
)
def test_a_network_that_does_not_fit_the_data(task: str, factory: Net, told: str, data):
    [problem] = complaints(task, factory, "plain,batch", data)
    assert told in problem


@pytest.mark.parametrize(
    ("task", "factory"),
    [
        ("classes", lambda: nn.Linear(6, 3)),
        ("classes", lambda: nn.Linear(6, 7)),
        ("binary", lambda: nn.Linear(6, 2)),
        ("binary", lambda: nn.Linear(6, 1)),
        ("binary", lambda: nn.Sequential(nn.Linear(6, 1), nn.Flatten(0))),
        ("regression", lambda: nn.Linear(6, 1)),
        ("regression", lambda: nn.Sequential(nn.Linear(6, 1), nn.Flatten(0))),
        ("outputs", lambda: nn.Linear(6, 2)),
    ],
)
def test_a_network_that_fits_the_data(task: str, factory: Net, data):
    loaded = data(task)
    workshop(loaded, factory).check(make(factory, 0), *untuned("plain"), 0, 16)


def test_whole_numbers_where_floats_are_needed(net: Net):
    from normwise.data import load

    x, y = np.arange(360).reshape(60, 6), np.arange(60) % 3
    [problem] = complaints("", net, "plain,batch", lambda _: load((x, y)))
    assert problem.startswith("x holds int64, and the network needs floating-point numbers: conv")


def test_all_variants_are_tried_and_named(data):
    problems = complaints("classes", lambda: nn.Linear(6, 3), "plain,batch,dropout=0.1", data)
    assert len(problems) == 2
    assert [p.split(":")[0] for p in problems] == ["variant 'batch'", "variant 'dropout=0.1'"]


@pytest.mark.parametrize(
    ("mine", "told"),
    [
        (lambda: nn.Linear(6, 2), "variant 'mine': the network gives 2 outputs"),
        (lambda: ONE, "variant 'mine': the factory returns the same network twice"),
        (NeedsWidth, "variant 'mine': NeedsWidth needs arguments (width)"),
        (raising, "variant 'mine': raising raised RuntimeError"),
        (lambda: nn.Linear(6, 3).requires_grad_(False), "no parameters that could be trained"),
    ],
)
def test_a_variants_own_factory_is_checked_as_the_model_is(mine: Net, told: str, net: Net, data):
    [problem] = complaints("classes", net, {"mine": mine}, data)
    assert told in problem


class OnlyTrains(nn.Linear):
    def forward(self, x):
        assert self.training, "only for training"
        return super().forward(x)


class ChangesInPlace(nn.Linear):
    def forward(self, x):
        hidden = super().forward(x).exp()
        result = hidden * 2
        hidden.zero_()
        return result + hidden


@pytest.mark.parametrize(
    ("factory", "loss", "told"),
    [
        (lambda: OnlyTrains(6, 3), None, "one evaluation on 16 samples raised AssertionError: on"),
        (lambda: ChangesInPlace(6, 3), None, "one backward pass on 16 samples raised RuntimeErr"),
        (lambda: nn.Linear(6, 3), lambda o, y: o, "the loss has shape (16, 3): a loss is a tens"),
        (lambda: nn.Linear(6, 3), lambda o, y: 0.5, "the loss is a float"),
        (lambda: nn.Linear(6, 3), lambda o, y: o.mean().detach(), "the loss has no gradient"),
        (lambda: nn.Linear(6, 3), lambda o, y: o[99], "one training step on 16 samples raised In"),
    ],
)
def test_the_first_step_is_tried(factory: Net, loss, told: str, data):
    [problem] = complaints("classes", factory, "plain", data, loss)
    assert problem.startswith(f"variant 'plain': {told}")


def test_checking_leaves_torchs_random_state(data, net: Net):
    before = torch.get_rng_state()
    workshop(data("classes"), net).check(make(net, 0), *untuned("plain,dropout=0.5,batch"), 0, 16)
    assert torch.equal(torch.get_rng_state(), before)


def test_bfloat16_is_refused_in_float64(data):
    loaded = data("classes", "float64")
    shop = Workshop(lambda: nn.Linear(6, 3).double(), loaded, Objective("classes"))
    variants, recipes = parse_variants("plain,lr=2x"), [Recipe(), Recipe(precision="bf16")]
    with pytest.raises(UsageError) as caught:
        shop.check(make(shop.factory, 0), variants, recipes, 0, 16)
    [problem] = caught.value.problems
    assert problem.startswith("variant 'lr=2x': precision=bf16: the network is in float64")


def test_an_augmentation_is_tried(data):
    shop = workshop(data("classes"), lambda: nn.Linear(6, 3))
    recipe = Recipe(augment=(Own(lambda x, generator: x[:3]),))
    with pytest.raises(UsageError, match=r"returned \(3, 6\) float32 for a batch of \(16, 6\)"):
        shop.check(make(shop.factory, 0), parse_variants("plain"), [recipe], 0, 16)
