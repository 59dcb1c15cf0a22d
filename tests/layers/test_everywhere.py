"""Every layer works wherever torch's own do: compiled, exported, differentiated twice, copied."""

import copy
import pickle
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from normwise.errors import UsageError
from normwise.layers import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    ChannelsLast,
    ConcreteDropout,
    DropBlock2d,
    Dropout,
    DynamicTanh,
    FilterResponseNorm,
    GaussianDropout,
    LockedDropout,
    Ramp,
    StochasticDepth,
    Uout,
    WhitenNorm1d,
    WhitenNorm2d,
    drop_connect,
    is_dropout,
    standardize_weight,
)


class Case(NamedTuple):
    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    random: bool = True
    dtype: torch.dtype = torch.float32  # under autocast to bfloat16


class Padded(nn.Module):
    """A norm, of data that are padded."""

    def __init__(self, norm: nn.Module, *shape: int) -> None:
        super().__init__()
        self.norm = norm
        self.register_buffer("mask", torch.arange(torch.Size(shape).numel()).view(shape) % 3 > 0)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x, self.mask[: len(x)])


VECTORS, TOKENS, IMAGES, VOLUMES = (6, 4), (5, 6, 3), (4, 4, 6, 5), (4, 3, 2, 3, 2)
HALF = torch.bfloat16

CASES = {
    "Dropout": Case(lambda: Dropout(0.3), VECTORS),
    "Dropout, classic": Case(lambda: Dropout(0.3, scaling="classic"), VECTORS),
    "GaussianDropout": Case(lambda: GaussianDropout(0.3), VECTORS),
    "Uout": Case(lambda: Uout(0.3), VECTORS),
    "ConcreteDropout": Case(lambda: ConcreteDropout(0.3, dropout_regularizer=0.0), VECTORS),
    "LockedDropout": Case(lambda: LockedDropout(0.3), TOKENS),
    "LockedDropout, batch first": Case(lambda: LockedDropout(0.3, batch_first=True), TOKENS),
    "StochasticDepth": Case(lambda: StochasticDepth(0.3), IMAGES),
    "DropBlock2d": Case(lambda: DropBlock2d(0.3, 3), IMAGES),
    "DropConnect in Linear": Case(lambda: drop_connect(nn.Linear(4, 8), 0.4), VECTORS, dtype=HALF),
    "DropConnect in Conv2d": Case(
        lambda: drop_connect(nn.Conv2d(4, 3, 2), 0.4), IMAGES, dtype=HALF
    ),
    "DropConnect in RNNCell": Case(
        lambda: drop_connect(nn.RNNCell(4, 3), 0.4, ["weight_ih"]), VECTORS, dtype=HALF
    ),
    "BatchNorm1d": Case(lambda: BatchNorm1d(4), VECTORS, random=False),
    "BatchNorm1d, mask": Case(lambda: Padded(BatchNorm1d(4), 6), VECTORS, random=False),
    "BatchNorm1d, fallback": Case(lambda: BatchNorm1d(6, fallback=True), TOKENS, random=False),
    "BatchNorm2d": Case(lambda: BatchNorm2d(4), IMAGES, random=False),
    "BatchNorm2d, ghosts": Case(lambda: BatchNorm2d(4, virtual_batch_size=3), IMAGES, random=False),
    "BatchNorm2d, mask": Case(lambda: Padded(BatchNorm2d(4), 4, 6, 5), IMAGES, random=False),
    "BatchNorm3d": Case(lambda: BatchNorm3d(3), VOLUMES, random=False),
    "BatchNorm3d, accumulate": Case(
        lambda: BatchNorm3d(3, accumulate=2, virtual_batch_size=2), VOLUMES, random=False
    ),
    "BatchNorm3d, renorm": Case(
        lambda: BatchNorm3d(3, r_max=Ramp(1, 3, 0, 9), d_max=Ramp(0, 5, 0, 9)),
        VOLUMES,
        random=False,
    ),
    "ChannelsLast": Case(lambda: ChannelsLast(BatchNorm1d(3)), TOKENS, random=False),
    "ChannelsLast, mask": Case(
        lambda: Padded(ChannelsLast(BatchNorm1d(3)), 5, 6), TOKENS, random=False
    ),
    "WhitenNorm1d": Case(lambda: WhitenNorm1d(4, num_groups=2), VECTORS, random=False),
    "WhitenNorm2d": Case(lambda: WhitenNorm2d(4), IMAGES, random=False),
    "WhitenNorm2d, few positions": Case(lambda: WhitenNorm2d(6), (9, 6, 2, 2), random=False),
    "FilterResponseNorm": Case(lambda: FilterResponseNorm(4, 1e-3), IMAGES, random=False),
    "FilterResponseNorm, eps": Case(
        lambda: FilterResponseNorm(4, 1e-3, learn_eps=True, tlu=False), IMAGES, random=False
    ),
    "DynamicTanh": Case(lambda: DynamicTanh(4), VECTORS, random=False),
    "DynamicTanh, channels first": Case(
        lambda: DynamicTanh(4, channels_last=False), IMAGES, random=False
    ),
    "WeightStandardization in Linear": Case(
        lambda: standardize_weight(nn.Linear(4, 3)), VECTORS, random=False, dtype=HALF
    ),
    "WeightStandardization": Case(
        lambda: standardize_weight(nn.Conv2d(4, 3, 2)), IMAGES, random=False, dtype=HALF
    ),
}

each = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def built(case: Case) -> nn.Module:
    """The layer, with every parameter off its initial value, so that each matters."""
    torch.manual_seed(1)
    layer = case.make()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return layer


def seeded(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    torch.manual_seed(5)
    return function(x)


def state(layer: nn.Module) -> list[Tensor]:
    return [tensor.clone() for tensor in (*layer.parameters(), *layer.buffers())]


@each
@pytest.mark.parametrize("training", [True, False])
def test_compiled_as_one_graph(case: Case, training: bool):
    torch._dynamo.reset()
    layer, x = built(case).train(training), torch.randn(case.shape)
    twin = copy.deepcopy(layer)
    backend = "aot_eager" if training else "eager"
    compiled = torch.compile(layer, fullgraph=True, backend=backend)
    torch.testing.assert_close(seeded(compiled, x), seeded(twin, x))
    torch.testing.assert_close(state(layer), state(twin))
    assert "weight" not in vars(layer)


@each
@pytest.mark.parametrize("training", [True, False])
def test_exported(case: Case, training: bool):
    layer, x = built(case).train(training), torch.randn(case.shape)
    exported = torch.export.export(nn.Sequential(copy.deepcopy(layer)), (x,)).module()
    torch.testing.assert_close(seeded(exported, x), seeded(layer, x))


@each
def test_differentiated_twice(case: Case):
    layer = built(case).double()
    x = torch.randn(case.shape, dtype=torch.float64, requires_grad=True)
    names, values = zip(*layer.named_parameters(), strict=True) if state(layer) else ((), ())
    values = [value.detach().clone().requires_grad_() for value in values]
    names, values = list(names), values[: len(names)]

    def function(x: Tensor, *values: Tensor) -> Tensor:
        weights = dict(zip(names, values, strict=True))
        twin = copy.deepcopy(layer)  # running statistics start anew
        return seeded(lambda x: torch.func.functional_call(twin, weights, (x,)), x)

    assert torch.autograd.gradcheck(function, (x, *values), fast_mode=True)
    assert torch.autograd.gradgradcheck(function, (x, *values), fast_mode=True)


@each
def test_under_vmap(case: Case):
    layer, x = built(case), torch.randn(3, *case.shape)
    for module in layer.modules():
        if isinstance(module, WhitenNorm1d | WhitenNorm2d):  # as with torch's batch norm
            module.running_mean = module.running_cov = module.num_batches_tracked = None
    found = torch.vmap(layer, randomness="different")(x[:1].expand_as(x))
    if case.random:
        assert not torch.equal(found[0], found[1])
    layer.eval()
    found = torch.vmap(layer, randomness="error")(x)
    torch.testing.assert_close(found, torch.stack([layer(each) for each in x]))


@each
def test_autocast_to_half_precision(case: Case):
    layer, x = built(case), torch.randn(case.shape)
    exact = seeded(copy.deepcopy(layer), x)
    with torch.autocast("cpu", torch.bfloat16):
        found = seeded(layer, x)
    assert found.dtype == case.dtype
    torch.testing.assert_close(found.float(), exact, rtol=0.05, atol=0.05)
    if case.dtype == torch.float32:
        half = seeded(copy.deepcopy(layer).to(torch.bfloat16), x.to(torch.bfloat16))
        assert half.dtype == torch.bfloat16
        assert half.isfinite().all()


@each
def test_a_batch_without_samples(case: Case):
    layer = built(case)
    twin = copy.deepcopy(layer)
    axis = 1 if isinstance(layer, LockedDropout) and not layer.batch_first else 0
    x = torch.randn(case.shape).narrow(axis, 0, 0).requires_grad_()
    y = layer(x)
    assert 0 in y.shape
    y.sum().backward()
    assert x.grad is not None
    after, before = dict(layer.state_dict()), twin.state_dict()
    for name, value in before.items():  # torch's batch norm counts the batch
        assert name.endswith("num_batches_tracked") or torch.equal(after[name], value)


@each
def test_copied_and_pickled(case: Case):
    layer, x = built(case), torch.randn(case.shape, requires_grad=True)
    seeded(layer, x).sum().backward()  # after which copies are made in practice
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(seeded(copy.deepcopy(layer), x), seeded(twin, x))
        assert repr(twin) == repr(layer)
    fresh = case.make()
    fresh.load_state_dict(layer.eval().state_dict())  # a round of batches ends with training
    assert torch.equal(seeded(layer, x), seeded(fresh.eval(), x))


@each
def test_what_it_was_given_is_left_alone(case: Case):
    layer, x = built(case), torch.randn(case.shape)
    before, names = x.clone(), sorted(layer.state_dict())
    for training in (True, False):
        layer.train(training)(x)
    assert torch.equal(x, before)
    assert sorted(layer.state_dict()) == names


@each
def test_its_output_can_be_flattened_by_view(case: Case):
    layer, x = built(case), torch.randn(case.shape)
    for training in (True, False):
        y = layer.train(training)(x)
        assert torch.equal(y.view(len(y), -1), y.flatten(1))


@each
def test_its_text_says_what_it_is(case: Case):
    text = repr(case.make())
    assert "p=" in text or "eps=" in text or "DynamicTanh((4,)" in text


RANDOM = {name: case for name, case in CASES.items() if case.random}


@pytest.mark.parametrize("case", RANDOM.values(), ids=RANDOM)
def test_randomness_is_of_training_alone_and_of_the_seed(case: Case):
    layer, x = built(case), torch.randn(case.shape)
    assert torch.equal(seeded(layer, x), seeded(layer, x))
    assert not torch.equal(seeded(layer, x), layer(x))
    layer.eval()
    assert torch.equal(layer(x), layer(x))
    assert any(is_dropout(module) for module in layer.modules())


@pytest.mark.parametrize(
    "make",
    [
        lambda g: Dropout(0.4, generator=g),
        lambda g: GaussianDropout(0.4, generator=g),
        lambda g: Uout(0.4, generator=g),
        lambda g: ConcreteDropout(0.4, generator=g),
        lambda g: LockedDropout(0.4, generator=g),
        lambda g: StochasticDepth(0.4, generator=g),
        lambda g: DropBlock2d(0.4, 2, generator=g),
        lambda g: drop_connect(nn.Linear(5, 7), 0.4, generator=g),
    ],
)
def test_a_generator_of_its_own(make: Callable[[torch.Generator], nn.Module]):
    layer = make(torch.Generator().manual_seed(3))
    shape = IMAGES if isinstance(layer, DropBlock2d) else (4, 6, 5)
    x = torch.randn(shape)
    twins = copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))
    before = torch.get_rng_state()
    first, second = layer(x), layer(x)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(first, second)
    for twin in twins:  # each goes on with a stream of its own
        assert torch.equal(twin(x), first)
        assert torch.equal(twin(x), second)


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (BatchNorm1d(4), (6, 3), r"BatchNorm1d .* \(N, 4\) or \(N, 4, L\), not \(6, 3\)"),
        (BatchNorm2d(4), (6, 4), r"BatchNorm2d .* \(N, 4, H, W\), not \(6, 4\)"),
        (BatchNorm3d(4), (6, 3, 2, 2, 2), r"BatchNorm3d .* \(N, 4, D, H, W\), not"),
        (ChannelsLast(BatchNorm1d(4)), (4,), r"ChannelsLast .* \(N, \*, C\), not \(4,\)"),
        (WhitenNorm1d(4), (6, 3), r"WhitenNorm1d\(4\) .* C = 4, .* shape \(6, 3\)"),
        (WhitenNorm2d(4), (6, 4), r"WhitenNorm2d\(4\) .* C = 4, .* shape \(6, 4\)"),
        (FilterResponseNorm(4), (6, 4), r"FilterResponseNorm\(4\) .* shape \(6, 4\)"),
        (DynamicTanh(4), (6, 3), r"DynamicTanh takes inputs with \(4,\) at the end, .* \(6, 3\)"),
        (LockedDropout(0.5), (4,), r"LockedDropout takes sequences .* shape \(4,\)"),
        (StochasticDepth(0.5), (), r"StochasticDepth takes a batch \(N, \*\)"),
        (DropBlock2d(0.5, 3), (4, 5, 5), r"DropBlock2d takes feature maps .* \(4, 5, 5\)"),
    ],
)
def test_a_wrong_shape_is_refused(layer: nn.Module, shape: tuple[int, ...], message: str):
    before = state(layer)
    with pytest.raises(UsageError, match=message):
        layer(torch.randn(shape))
    assert all(torch.equal(a, b) for a, b in zip(state(layer), before, strict=True))


@pytest.mark.parametrize(
    "layer",
    [
        BatchNorm2d(4),
        BatchNorm2d(4, virtual_batch_size=2),
        BatchNorm2d(4).eval(),
        WhitenNorm2d(4),
        WhitenNorm2d(4).eval(),
        FilterResponseNorm(4),
    ],
    ids=str,
)
def test_whole_numbers_are_refused_rather_than_returned(layer: nn.Module):
    before = state(layer)
    with pytest.raises(UsageError, match=r"floating-point numbers, not torch.int64: .*x.float()"):
        layer(torch.ones(IMAGES, dtype=torch.long))
    assert all(torch.equal(a, b) for a, b in zip(state(layer), before, strict=True))


@pytest.mark.parametrize("change", [lambda m: drop_connect(m, 0.4), standardize_weight])
@pytest.mark.parametrize("make", [lambda: nn.Linear(4, 3), lambda: nn.Conv1d(4, 3, 2)])
def test_of_a_wrong_shape_a_changed_layer_says_what_it_said_before(
    change: Callable[[nn.Module], nn.Module], make: Callable[[], nn.Module]
):
    layer, wrong = make(), torch.randn(2, 3, 5)
    with pytest.raises(RuntimeError) as expected:
        layer(wrong)
    before = state(layer)
    with pytest.raises(RuntimeError) as found:
        change(layer)(wrong)
    assert str(found.value) == str(expected.value)
    assert "weight" not in vars(layer)
    assert all(torch.equal(a, b) for a, b in zip(state(layer), before, strict=True))
