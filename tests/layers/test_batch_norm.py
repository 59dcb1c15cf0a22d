"""The batch norms against torch's own, by themselves and in a loop."""

import copy
import pickle
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import functional_call
from torch.testing import assert_close

from normwise.errors import UsageError
from normwise.layers import BatchNorm1d, BatchNorm2d, BatchNorm3d, ChannelsLast, Ramp

KINDS = {2: BatchNorm1d, 3: BatchNorm1d, 4: BatchNorm2d, 5: BatchNorm3d}
TORCH = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
SHAPES = [(7, 3), (9, 70), (7, 3, 4), (7, 3, 4, 2), (5, 3, 2, 3, 2)]
EXACT: Any = {"rtol": 1e-12, "atol": 1e-12}


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def valid(shape: tuple[int, ...], share: float = 0.6) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(3)) < share


def make(shape: tuple[int, ...], **options: Any) -> Any:
    norm = KINDS[len(shape)](shape[1], dtype=torch.float64, **options)
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter.copy_(1 + draw(*parameter.shape, seed=len(shape)))
    return norm


def twin(norm: Any, shape: tuple[int, ...]) -> Any:
    """Return torch's layer, with the same state."""
    names = "eps", "momentum", "affine", "track_running_stats"
    theirs = TORCH[len(shape)](shape[1], **{n: getattr(norm, n) for n in names}).double()
    theirs.load_state_dict(norm.state_dict())
    return theirs.train(norm.training)


def results(norm: Any, x: Tensor, *call: Any, forward: Any = None) -> list[Tensor]:
    """Return output, gradients and buffers after one step."""
    norm.zero_grad()
    x = x.clone().requires_grad_()
    y = (forward or norm)(x, *call)
    (y * torch.arange(y.numel()).view_as(y).cos()).sum().backward()
    buffers = [norm.running_mean, norm.running_var, norm.num_batches_tracked]
    return [y, x.grad, *[p.grad for p in norm.parameters()], *[b for b in buffers if b is not None]]


def same(ours: list[Tensor], theirs: list[Tensor], **tolerance: Any) -> None:
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert_close(one, other, **(tolerance or EXACT))


def of_valid(norm: Any, x: Tensor, mask: Tensor) -> Tensor:
    """Norm the valid elements, put together as samples; the others stay."""
    rows = x.movedim(1, -1)
    flat = F.batch_norm(
        rows[mask],
        norm.running_mean,
        norm.running_var,
        norm.weight,
        norm.bias,
        norm.training or norm.running_mean is None,
        norm.momentum,
        norm.eps,
    )
    if norm.training and norm.track_running_stats:
        norm.num_batches_tracked += 1
    return rows.clone().index_put((mask,), flat).movedim(-1, 1)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "options",
    [{}, {"affine": False}, {"track_running_stats": False}, {"momentum": None}, {"eps": 0.1}],
    ids=str,
)
def test_without_extras_it_is_torchs_bit_for_bit(shape: Any, training: bool, options: Any):
    ours = make(shape, **options).train(training)
    theirs = twin(ours, shape)
    for seed in range(3):
        x = 3 + draw(*shape, seed=seed)
        for one, other in zip(results(ours, x), results(theirs, x), strict=True):
            assert torch.equal(one, other)


def test_bias_can_be_left_out():
    norm = BatchNorm1d(3, bias=False)
    assert norm.bias is None
    assert_close(norm(torch.randn(8, 3)).mean(0), torch.zeros(3), atol=1e-6, rtol=0)
    masked = norm(torch.randn(8, 3), torch.ones(8, dtype=torch.bool))
    assert_close(masked.mean(0), torch.zeros(3), atol=1e-6, rtol=0)


@pytest.mark.parametrize("options", [{}, {"accumulate": 3}, {"r_max": 2, "d_max": 1}], ids=str)
def test_state_dicts_are_torchs(options: Any):
    ours, theirs = BatchNorm2d(3, **options), nn.BatchNorm2d(3)
    theirs(torch.randn(4, 3, 2, 2))
    assert ours.load_state_dict(theirs.state_dict(), strict=True)
    ours(torch.randn(4, 3, 2, 2))
    assert theirs.load_state_dict(ours.state_dict(), strict=True)
    assert list(ours.state_dict()) == list(theirs.state_dict())


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("track", [True, False])
def test_masked_is_the_norm_of_the_valid_elements(shape: Any, training: bool, track: bool):
    ours = make(shape, track_running_stats=track).train(training)
    theirs = twin(ours, shape)
    for seed in range(2):
        x, mask = 2 + draw(*shape, seed=seed), valid((shape[0], *shape[2:]))
        same(
            results(ours, x, mask),
            results(theirs, x, mask, forward=lambda x, m: of_valid(theirs, x, m)),
        )


@pytest.mark.parametrize("shape", [(4, 3, 5), (9, 70)], ids=str)
@pytest.mark.parametrize("training", [True, False])
def test_what_stands_where_the_mask_is_false_matters_to_nobody(shape: Any, training: bool):
    mask, found = valid((shape[0], *shape[2:])), []
    for filling in (0.0, 1e30, torch.finfo(torch.float64).min, float("inf"), float("nan")):
        norm = make(shape).train(training)
        x = torch.where(mask[:, None], draw(*shape), filling).requires_grad_()
        y = norm(x, mask)
        assert_close(y.movedim(1, -1)[~mask], x.movedim(1, -1)[~mask], equal_nan=True)
        counted, passing = torch.where(mask[:, None], y, 0), torch.where(mask[:, None], 0, y)
        torch.autograd.backward([counted.square().sum(), passing.sum()])
        passed = x.grad.movedim(1, -1)[~mask]  # type: ignore[union-attr]
        assert torch.equal(passed, torch.ones_like(passed))
        kept = y.movedim(1, -1)[mask], x.grad.movedim(1, -1)[mask]  # type: ignore[union-attr]
        found.append([*kept, norm.weight.grad, norm.running_mean, norm.running_var])
    for other in found[1:]:
        same(other, found[0])


def test_a_mask_may_differ_between_channels():
    shape = (6, 3, 4)
    x, mask, norm = draw(*shape), valid(shape), make(shape)
    y = norm(x, mask)
    for c in range(3):
        part, w, b = x[:, c][mask[:, c]], norm.weight[c], norm.bias[c]
        expected = (part - part.mean()) / (part.var(correction=0) + 1e-5).sqrt() * w + b
        assert_close(y[:, c][mask[:, c]], expected, **EXACT)
        assert_close(norm.running_var[c], 0.9 + 0.1 * part.var(), **EXACT)
    assert torch.equal(y[~mask], x[~mask])


@pytest.mark.parametrize("shape", [(4, 3, 5), (9, 70)], ids=str)
def test_a_batch_without_valid_elements_changes_nothing(shape: Any):
    norm = make(shape)
    before = copy.deepcopy(norm.state_dict())
    x, mask = draw(*shape).requires_grad_(), torch.zeros(shape[0], *shape[2:], dtype=torch.bool)
    y = norm(x, mask)
    assert torch.equal(y, x)
    y.sum().backward()
    assert torch.equal(x.grad, torch.ones(shape).double())  # type: ignore[arg-type]
    for name, value in norm.state_dict().items():
        assert torch.equal(value, before[name])


@given(
    samples=st.integers(2, 13),
    size=st.integers(2, 6),
    masked=st.booleans(),
    momentum=st.sampled_from([0.1, 0.5, None]),
)
def test_ghost_batches_are_a_loop(samples: int, size: int, masked: bool, momentum: Any):
    shape = (samples, 2, 3)
    groups = -(-samples // size)
    ours = make(shape, virtual_batch_size=size, momentum=momentum)
    theirs = twin(ours, shape)
    x = 2 + draw(*shape, seed=samples)
    mask = torch.arange(3) < 2 + torch.arange(samples)[:, None] % 2 if masked else None

    def loop(x: Tensor) -> Tensor:
        if mask is None:
            return torch.cat([theirs(part) for part in x.tensor_split(groups)])
        parts = zip(x.tensor_split(groups), mask.tensor_split(groups), strict=True)
        return torch.cat([of_valid(theirs, *part) for part in parts])

    assume(not (masked and momentum is None))  # F.batch_norm knows no average of all
    same(results(ours, x, mask), results(theirs, x, forward=loop))


@pytest.mark.parametrize(
    ("shape", "size"),
    [((1030, 130), 515), ((1029, 130), 515), ((8194, 17), 4097), ((1030, 130), 2000)],
    ids=str,
)
@pytest.mark.parametrize("transposed", [True, False])
def test_large_ghost_batches_of_vectors_are_a_loop(shape: Any, size: int, transposed: bool):
    ours, groups = make(shape, virtual_batch_size=size), -(-shape[0] // size)
    theirs = twin(ours, shape)
    x = 2 + (draw(*reversed(shape)).T if transposed else draw(*shape))

    def loop(x: Tensor) -> Tensor:
        return torch.cat([theirs(part) for part in x.tensor_split(groups)])

    same(results(ours, x), results(theirs, x, forward=loop))
    leaf, upstream, second = x.requires_grad_(), draw(*shape, seed=1), draw(*shape, seed=2)
    found = []
    for norm, forward in ((ours, ours), (theirs, loop)):
        wanted = [leaf, norm.weight]
        gradient, _ = torch.autograd.grad(forward(leaf), wanted, upstream, create_graph=True)
        again = torch.autograd.grad((gradient * second).sum(), wanted)
        summed = torch.autograd.grad(forward(leaf).sum(0).cos().sum(), norm.parameters())
        found.append([*again, *summed])  # the gradient of a sum is a view without memory
    same(*found, rtol=1e-9, atol=1e-9)


def test_ghost_batches_in_evaluation_and_without_running_statistics():
    shape = (9, 3, 2)
    x = draw(*shape)
    ours = make(shape, virtual_batch_size=4).eval()
    same(results(ours, x), results(twin(ours, shape), x))
    ours = make(shape, virtual_batch_size=4, track_running_stats=False).eval()
    theirs = twin(ours, shape)
    loop = torch.cat([theirs(part) for part in x.tensor_split(3)])
    assert_close(ours(x), loop, **EXACT)


@pytest.mark.parametrize("momentum", [0.1, None])
def test_accumulated_statistics_are_those_of_the_whole_batch(momentum: Any):
    shape = (12, 3, 4)
    ours = make(shape, accumulate=3, momentum=momentum)
    theirs = twin(ours, shape)
    for step in range(3):
        x = 1e4 + draw(*shape, seed=step)
        theirs(x)
        parts = x.split([3, 7, 2])  # unequal ones
        own = [copy.deepcopy(theirs)(part) for part in parts]
        for part, expected in zip(parts, own, strict=True):
            before = ours.running_mean.clone()
            assert_close(ours(part), expected, rtol=1e-9, atol=1e-9)
            assert torch.equal(before, ours.running_mean) == (part is not parts[-1])
        assert_close(ours.running_mean, theirs.running_mean, rtol=1e-12, atol=0)
        assert_close(ours.running_var, theirs.running_var, rtol=1e-9, atol=0)
    assert ours.num_batches_tracked == 3


def test_an_unfinished_round_counts_when_training_ends():
    shape = (4, 3)
    ours = make(shape, accumulate=3)
    theirs = twin(ours, shape)
    x = draw(8, 3)
    for part in x.split(4):
        ours(part)
    assert ours.num_batches_tracked == 0
    theirs(x)
    ours.eval().train().eval()
    assert_close(ours.running_var, theirs.running_var, **EXACT)
    assert ours.num_batches_tracked == 1


def test_renormalization_is_the_papers_algorithm():
    shape, eps, momentum = (6, 3, 2), 1e-3, 0.2
    r_max, d_max = Ramp(1, 2, 0, 4), Ramp(0, 0.5, 0, 4)
    norm = make(shape, eps=eps, momentum=momentum, r_max=r_max, d_max=d_max)
    mean, var = torch.zeros(3).double(), torch.ones(3).double()
    for step in range(6):
        x = (2 + 3 * draw(*shape, seed=step)).requires_grad_()
        batch_mean, batch_var = x.mean((0, 2)), x.var((0, 2), correction=0)
        limits = 1 + min(step, 4) / 4, 0.5 * min(step, 4) / 4
        ratio = (batch_var + eps).sqrt() / (var + eps).sqrt()
        r = ratio.clamp(1 / limits[0], limits[0]).detach()
        d = ((batch_mean - mean) / (var + eps).sqrt()).clamp(-limits[1], limits[1]).detach()
        wide = [t[:, None] for t in (batch_mean, (batch_var + eps).rsqrt(), r, d)]
        normal = (x - wide[0]) * wide[1] * wide[2] + wide[3]
        expected = normal * norm.weight[:, None] + norm.bias[:, None]
        weight = draw(*shape, seed=9)
        expected_grads = torch.autograd.grad((expected * weight).sum(), [x, norm.weight])
        y = norm(x)
        assert_close(y, expected, **EXACT)
        same(list(torch.autograd.grad((y * weight).sum(), [x, norm.weight])), list(expected_grads))
        mean = (1 - momentum) * mean + momentum * batch_mean.detach()
        var = (1 - momentum) * var + momentum * x.detach().var((0, 2))
        assert_close(norm.running_var, var, **EXACT)


def test_renormalization_reduces_to_torchs_where_nothing_may_be_corrected():
    shape = (6, 3, 2)
    ours = make(shape, r_max=1, d_max=0)
    theirs = twin(ours, shape)
    for seed in range(3):
        same(results(ours, draw(*shape, seed=seed)), results(theirs, draw(*shape, seed=seed)))


def test_without_limits_it_is_normalised_by_the_running_statistics():
    shape = (6, 3, 2)
    ours = make(shape, r_max=1e9, d_max=1e9)
    ours(3 + draw(*shape))
    expected = copy.deepcopy(ours).eval()(draw(*shape, seed=1))
    assert_close(ours(draw(*shape, seed=1)), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("shape", [(1, 3), (1, 3, 1), (1, 3, 1, 1), (1, 3, 1, 1, 1)], ids=str)
def test_a_batch_of_one_falls_back_on_demand(shape: Any):
    ours = make(shape, fallback=True)
    with torch.no_grad():
        ours.running_mean.fill_(2.0)
        ours.running_var.fill_(4.0)
    same(results(ours, draw(*shape)), results(twin(ours, shape).eval(), draw(*shape)))
    larger = draw(4, *shape[1:])
    same(results(ours, larger), results(twin(ours, shape), larger)[:4] + _tracked(ours))


def _tracked(norm: Any) -> list[Tensor]:
    return [norm.running_mean, norm.running_var, norm.num_batches_tracked]


def test_channels_that_have_one_valid_value_fall_back():
    norm = make((4, 2, 3), fallback=True)
    norm.running_mean.fill_(2.0)
    mask = torch.zeros(4, 2, 3, dtype=torch.bool)
    mask[0, 0, 0] = mask[1, 1] = True
    x = draw(4, 2, 3)
    y = norm(x, mask)
    w, b = norm.weight.detach(), norm.bias.detach()
    assert_close(y[0, 0, 0].detach(), (x[0, 0, 0] - 2) / (1 + 1e-5) ** 0.5 * w[0] + b[0], **EXACT)
    assert norm.running_mean[0] == 2.0
    assert_close(norm.running_mean[1], 1.8 + 0.1 * x[1, 1].mean(), **EXACT)


@pytest.mark.parametrize(
    "options",
    [{}, {"virtual_batch_size": 3}, {"r_max": 1.5, "d_max": 0.3}, {"fallback": True}],
    ids=str,
)
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("shape", [(5, 2), (5, 2, 3)], ids=str)
def test_gradients_and_their_gradients(options: Any, masked: bool, shape: Any):
    norm = make(shape, **options)
    mask = valid((shape[0], *shape[2:]), 0.8) if masked else None

    def function(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return functional_call(copy.deepcopy(norm), {"weight": weight, "bias": bias}, (x, mask))

    inputs = [draw(*shape), norm.weight.detach(), norm.bias.detach()]
    leaves = [t.clone().requires_grad_() for t in inputs]
    if "r_max" in options:  # far away, so that both limits hold and r and d are constants
        norm.running_mean.fill_(9.0)
        norm.running_var.fill_(0.01)
    assert torch.autograd.gradcheck(function, leaves)
    assert torch.autograd.gradgradcheck(function, leaves)


@pytest.mark.parametrize("options", [{"virtual_batch_size": 2}, {"r_max": 3, "d_max": 5}], ids=str)
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("shape", [(4, 3, 4096), (4, 3, 9000), (200_000, 3), (4096, 40)], ids=str)
def test_a_large_mean_does_not_spoil_the_variance(options: Any, masked: bool, shape: Any):
    generator = torch.Generator().manual_seed(0)
    x = 1e4 + torch.randn(shape, generator=generator)
    mask = valid((shape[0], *shape[2:])) if masked else None
    if len(shape) == 2 and "virtual_batch_size" in options:
        options = {"virtual_batch_size": 50_000}
    norm = BatchNorm1d(shape[1], momentum=None, **options)
    y = norm(x, mask)
    kept = x.double().movedim(1, -1)[mask] if masked else x.double().movedim(1, -1).flatten(0, -2)
    assert_close(norm.running_var.double(), kept.var(0), rtol=2e-3, atol=0)
    spread = y.movedim(1, -1)[mask] if masked else y.movedim(1, -1)
    if "virtual_batch_size" in options:
        assert abs(spread.std().item() - 1) < 2e-3


@pytest.mark.parametrize("shape", [(9, 3, 5), (9, 70)], ids=str)
@pytest.mark.parametrize("filling", [float("nan"), float("inf")])
def test_what_comes_back_where_the_mask_is_false_goes_through(shape: Any, filling: float):
    mask, norm = valid((shape[0], *shape[2:])), make(shape)
    gradients = []
    for there in (filling, 0.0):
        x = draw(*shape).requires_grad_()
        upstream = torch.where(mask[:, None], draw(*shape, seed=1), there)
        gradients.append(torch.autograd.grad(norm(x, mask), [x, norm.weight, norm.bias], upstream))
        went = gradients[-1][0].movedim(1, -1)[~mask]
        assert_close(went, torch.full_like(went, there), rtol=0, atol=0, equal_nan=True)
    gradients = [[g[0].movedim(1, -1)[mask], *g[1:]] for g in gradients]
    same(gradients[0], gradients[1])


@pytest.mark.parametrize("options", [{}, {"virtual_batch_size": 4}, {"accumulate": 2}], ids=str)
@pytest.mark.parametrize("masked", [True, False])
def test_autocast_gives_what_torchs_layer_gives(options: Any, masked: bool):
    x = (20 + torch.randn(8, 3, 6, generator=torch.Generator().manual_seed(0))).bfloat16()
    mask = valid((8, 6)) if masked else None
    norm = BatchNorm1d(3, **options)
    exact = copy.deepcopy(norm)
    leaf = x.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        y = norm(leaf, mask)
        y.float().pow(3).sum().backward()
    assert y.dtype == torch.bfloat16
    assert leaf.grad is not None
    assert leaf.grad.dtype == torch.bfloat16
    wide = x.float().requires_grad_()
    copy.deepcopy(exact)(wide, mask).pow(3).sum().backward()
    assert_close(leaf.grad.float(), wide.grad, atol=0.1, rtol=0.05)
    assert_close(y.float(), exact(x.float(), mask), atol=0.03, rtol=0.01)
    assert norm.running_var.dtype == torch.float32
    assert_close(norm.running_var, exact.running_var, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("options", [{}, {"virtual_batch_size": 4}, {"r_max": 2, "d_max": 1}])
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_an_empty_batch_changes_nothing(options: Any, masked: bool, training: bool):
    norm = BatchNorm2d(3, **options).train(training)
    x = torch.zeros(0, 3, 2, 2, requires_grad=True)
    y = norm(x, torch.zeros(0, 2, 2, dtype=torch.bool) if masked else None)
    y.sum().backward()
    assert y.shape == x.shape
    assert x.grad is not None
    assert norm.running_mean.tolist() == [0, 0, 0]
    assert norm.running_var.tolist() == [1, 1, 1]
    assert norm.weight.grad.tolist() == [0, 0, 0]


@pytest.mark.parametrize("options", [{"accumulate": 2}, {"r_max": Ramp(1, 3, 0, 9), "d_max": 1}])
def test_copies_and_pickles_go_on_alike(options: Any):
    norm = BatchNorm1d(3, **options)
    norm(torch.randn(4, 3))
    others = copy.deepcopy(norm), pickle.loads(pickle.dumps(norm))
    x = torch.randn(4, 3)
    y = norm(x)
    for other in others:
        assert torch.equal(other(x), y)
        assert torch.equal(other.running_var, norm.running_var)


def test_resetting_forgets_the_round_as_well():
    norm = BatchNorm1d(3, accumulate=2)
    norm(10 + torch.randn(4, 3))
    norm.reset_running_stats()
    x = torch.randn(8, 3)
    for part in x.split(4):
        norm(part)
    assert_close(norm.running_mean, 0.1 * x.mean(0))


def test_memory_formats_are_kept():
    x = torch.randn(4, 3, 5, 5).to(memory_format=torch.channels_last)
    mask = valid((4, 5, 5))
    y = BatchNorm2d(3)(x, mask)
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert_close(y, BatchNorm2d(3)(x.contiguous(), mask))
    ghost = BatchNorm2d(3, virtual_batch_size=2)
    assert_close(ghost(x), copy.deepcopy(ghost)(x.contiguous()))


def test_masked_sequences_with_features_last():
    x, mask = draw(4, 5, 3), valid((4, 5))
    last, first = ChannelsLast(make((4, 3))), make((4, 3))
    assert_close(last(x, mask), first(x.mT, mask).mT, **EXACT)
    assert_close(last.norm.running_var, first.running_var, **EXACT)


def test_it_names_the_extras_that_are_in_use():
    norm = BatchNorm1d(8, virtual_batch_size=4, r_max=3, d_max=Ramp(0, 5, 10, 20))
    assert repr(norm).endswith(
        "track_running_stats=True, virtual_batch_size=4, r_max=3, "
        "d_max=Ramp(first=0, last=5, start=10, stop=20))"
    )
    assert repr(BatchNorm2d(8)) == repr(nn.BatchNorm2d(8))


@pytest.mark.parametrize(
    ("options", "problems"),
    [
        ({"virtual_batch_size": 0}, ["virtual_batch_size=0: take a whole number"]),
        ({"accumulate": 2.5}, ["accumulate=2.5: take a whole number"]),
        ({"r_max": 0.5, "d_max": -1}, ["r_max=0.5: take a number from 1", "d_max=-1"]),
        ({"r_max": 3}, ["r_max=3, d_max=None: batch renormalization takes both"]),
        ({"virtual_batch_size": 4, "sync": True}, ["choose one"]),
        (
            {"accumulate": 2, "fallback": True, "track_running_stats": False},
            ["accumulate=2, track_running_stats=False", "fallback=True, track_running_stats=False"],
        ),
    ],
    ids=str,
)
def test_options_that_are_wrong_are_all_named(options: Any, problems: list[str]):
    with pytest.raises(UsageError) as caught:
        BatchNorm2d(3, **options)
    assert len(caught.value.problems) == len(problems)
    for found, expected in zip(caught.value.problems, problems, strict=True):
        assert expected in found


@pytest.mark.parametrize(
    ("norm", "shape", "mask", "message"),
    [
        (BatchNorm1d(3), (2, 4), None, r"shape \(N, 3\) or \(N, 3, L\), not \(2, 4\)"),
        (BatchNorm2d(3), (2, 3), None, r"shape \(N, 3, H, W\), not \(2, 3\)"),
        (BatchNorm3d(3), (2, 3, 1, 1), None, r"shape \(N, 3, D, H, W\), not"),
        (BatchNorm3d(3).eval(), (2, 3, 1, 1), None, r"shape \(N, 3, D, H, W\), not"),
        (BatchNorm1d(3), (1, 3), None, "a single value per channel, which .* fallback=True"),
        (BatchNorm1d(3, virtual_batch_size=2), (3, 3), None, r"\(virtual_batch_size=2\)"),
        (BatchNorm1d(3), (2, 3, 5), (2, 3), r"it takes \(2, 5\).*or \(2, 3, 5\)"),
        (BatchNorm1d(3).eval(), (2, 3, 5), (2, 4, 5), r"it takes \(2, 5\)"),
    ],
)
def test_wrong_inputs_are_refused_and_change_nothing(
    norm: Any, shape: Any, mask: Any, message: Any
):
    before = copy.deepcopy(norm.state_dict())
    with pytest.raises(UsageError, match=message):
        norm(torch.randn(shape), None if mask is None else torch.ones(mask, dtype=torch.bool))
    for name, value in norm.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_mask_that_is_not_boolean_is_refused():
    with pytest.raises(UsageError, match=r"mask\.bool\(\)"):
        BatchNorm1d(3)(torch.randn(2, 3, 5), torch.ones(2, 5))


@pytest.mark.parametrize(
    "extra", [{"virtual_batch_size": 4}, {"virtual_batch_size": 3}, {"r_max": 3.0, "d_max": 5.0}]
)
def test_an_activation_may_write_over_the_output(extra: dict[str, Any]):
    """As `nn.ReLU(inplace=True)` does, which follows batch norm in most image networks."""
    gradients = []
    for activation in (torch.relu, torch.relu_):
        torch.manual_seed(0)
        x = torch.randn(8, 4, dtype=torch.float64, requires_grad=True)
        norm = BatchNorm1d(4, dtype=torch.float64, **extra)
        activation(norm(x)).square().sum().backward()
        gradients.append(x.grad)
    assert_close(*gradients)
