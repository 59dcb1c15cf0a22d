"""The batch norms under torch.func, compile, export and activation checkpointing."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.testing import assert_close
from torch.utils.checkpoint import checkpoint

from normwise.layers import BatchNorm1d, Ramp

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "ghost": {"virtual_batch_size": 3},
    "accumulate": {"accumulate": 2},
    "renorm": {"r_max": Ramp(1, 3, 0, 4), "d_max": 0.5},
    "fallback": {"fallback": True},
    "average": {"momentum": None},
    "untracked": {"track_running_stats": False},
}
N, C, L = 7, 4, 5
every = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
masked = pytest.mark.parametrize("masked", [False, True])


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def mask_if(wanted: bool) -> Tensor | None:
    return draw(N, L, seed=5) > -0.5 if wanted else None


def make(options: dict[str, Any], seed: int = 0) -> Any:
    norm = BatchNorm1d(C, dtype=torch.float64, **options)
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter.copy_(1 + draw(C, seed=seed))
    return norm


def assert_same_state(ours: nn.Module, theirs: nn.Module) -> None:
    names = "running_mean", "running_var", "num_batches_tracked"
    for name in names:
        one, other = getattr(ours, name), getattr(theirs, name)
        assert (one is None) == (other is None)
        if one is not None:
            assert_close(one, other, rtol=1e-12, atol=1e-12)


@every
@masked
@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointing_counts_a_batch_once(options: Any, masked: bool, reentrant: bool):
    ours, mask = make(options), mask_if(masked)
    theirs = copy.deepcopy(ours)
    for step in range(3):
        x = [(3 * step + draw(N, C, L, seed=step)).requires_grad_() for _ in range(2)]
        out = checkpoint(ours, x[0], mask, use_reentrant=reentrant)
        expected = theirs(x[1], mask)
        assert_close(out, expected, rtol=0, atol=0)
        out.pow(3).sum().backward()
        expected.pow(3).sum().backward()
        assert_close(x[0].grad, x[1].grad, rtol=1e-12, atol=1e-12)
        assert_close(ours.weight.grad, theirs.weight.grad, rtol=1e-12, atol=1e-12)
    assert_same_state(ours, theirs)


@every
@masked
def test_a_stack_of_norms_under_vmap_is_each_by_itself(options: Any, masked: bool):
    norms, mask = [make(options, seed) for seed in range(3)], mask_if(masked)
    base = copy.deepcopy(norms[0])
    parameters, buffers = stack_module_state(norms)  # type: ignore[arg-type]

    def loss(parameters: Any, buffers: Any, x: Tensor) -> Tensor:
        return functional_call(base, (parameters, buffers), (x, mask)).pow(3).sum()

    for step in range(2):
        x = draw(N, C, L, seed=step)  # shared by all
        found = vmap(grad(loss), (0, 0, None))(parameters, buffers, x)
        for run, norm in enumerate(norms):
            norm.zero_grad()
            norm(x, mask).pow(3).sum().backward()
            assert_close(found["weight"][run], norm.weight.grad, rtol=1e-10, atol=1e-10)
            assert_close(found["bias"][run], norm.bias.grad, rtol=1e-10, atol=1e-10)
            for name, buffer in norm.named_buffers():
                assert_close(buffers[name][run], buffer, rtol=1e-12, atol=1e-12)


@every
@masked
def test_calls_that_share_running_statistics_move_them_once(options: Any, masked: bool):
    norm, mask = make(options), mask_if(masked)
    before = copy.deepcopy(norm)
    xs = draw(3, N, C, L)

    def loss(parameters: Any, x: Tensor) -> Tensor:
        return functional_call(norm, parameters, (x, mask)).pow(3).sum()

    found = vmap(grad(loss), (None, 0))(dict(norm.named_parameters()), xs)
    for call, x in enumerate(xs):
        alone = copy.deepcopy(before)
        alone(x, mask).pow(3).sum().backward()
        assert_close(found["weight"][call], alone.weight.grad, rtol=1e-10, atol=1e-10)
    if norm.running_mean is None or options.get("accumulate") or options.get("virtual_batch_size"):
        return
    whole = make({"momentum": norm.momentum})
    whole(xs.flatten(0, 1), None if mask is None else mask.repeat(3, 1))
    assert_same_state(norm, whole)


def test_captured_running_statistics_move_under_grad():
    norm = make({})
    theirs = copy.deepcopy(norm)
    x = draw(N, C, L)
    found = grad(lambda x: norm(x).pow(3).sum())(x)
    leaf = x.clone().requires_grad_()
    theirs(leaf).pow(3).sum().backward()
    assert_close(found, leaf.grad, rtol=1e-10, atol=1e-10)
    assert_same_state(norm, theirs)


@every
@masked
def test_compiled_as_one_graph(options: Any, masked: bool):
    torch._dynamo.reset()
    ours, mask = make(options), mask_if(masked)
    theirs = copy.deepcopy(ours)
    compiled = torch.compile(ours, fullgraph=True, backend="aot_eager")
    for step in range(2):  # with renorm, the backward comes when running statistics have moved
        x = [draw(N, C, L, seed=step).requires_grad_() for _ in range(2)]
        compiled(x[0], mask).pow(3).sum().backward()
        theirs(x[1], mask).pow(3).sum().backward()
        assert_close(x[0].grad, x[1].grad, rtol=1e-10, atol=1e-10)
    assert_same_state(ours, theirs)


@every
@masked
@pytest.mark.parametrize("training", [True, False])
def test_exported(options: Any, masked: bool, training: bool):
    norm = make(options).train(training)
    args = (draw(N, C, L), mask_if(masked)) if masked else (draw(N, C, L),)
    program = torch.export.export(norm, args, strict=False)
    expected = copy.deepcopy(norm)(*args)
    assert_close(program.module()(*args), expected, rtol=1e-10, atol=1e-10)
