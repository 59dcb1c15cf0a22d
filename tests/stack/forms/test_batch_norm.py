"""Batch norm of many runs: values, gradients, running statistics, large means."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from normwise.stack.forms import Masks, StackedForms

SHAPES = [(8, 4), (5, 4, 3), (3, 4, 3, 2), (2, 4, 2, 3, 2)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("affine", [True, False])
def test_batch_norm(shape: tuple[int, ...], training: bool, affine: bool, agree: Any, draw: Any):
    def function(x: Tensor, mean: Tensor, var: Tensor, *affine: Tensor) -> Any:
        mean, var = mean.detach().clone(), var.detach().clone()
        y = F.batch_norm(x, mean, var, *affine, training=training, momentum=0.3, eps=0.01)
        return y, mean, var

    tensors = [draw(3, *shape) + 2, draw(3, 4), draw(3, 4).abs() + 1]
    tensors += [draw(3, 4), draw(3, 4)] if affine else []
    agree(function, *tensors)
    agree(function, tensors[0][0], *tensors[1:], dims=[None] + [0] * (len(tensors) - 1))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_without_running_statistics(shape: tuple[int, ...], agree: Any, draw: Any):
    def function(x: Tensor, weight: Tensor) -> Tensor:
        return F.batch_norm(x, None, None, weight, None, training=True)

    agree(function, draw(3, *shape), draw(3, 4))
    agree(function, draw(3, *shape), draw(4), dims=(0, None))


def test_nothing_of_any_run(draw: Any):
    x = draw(8, 4)
    with StackedForms(Masks(())):
        out = torch.vmap(lambda s: s * F.batch_norm(x, None, None, training=True))(draw(3) * 0 + 1)
    torch.testing.assert_close(out[1], F.batch_norm(x, None, None, training=True))


@pytest.mark.parametrize("shape", [(512, 4), (16, 4, 6, 6)], ids=str)
def test_a_large_mean_does_not_spoil_the_variance(shape: tuple[int, ...]):
    x = 1e4 + torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
    mean, var = torch.zeros(3, 4), torch.zeros(3, 4)

    def function(x: Tensor, mean: Tensor, var: Tensor) -> Tensor:
        return F.batch_norm(x, mean, var, training=True, momentum=1.0)

    with StackedForms(Masks(())):
        y = torch.vmap(function)(x, mean, var)
    over = [1, *range(3, x.ndim)]
    exact = x.double()
    torch.testing.assert_close(var.double(), exact.var(over), rtol=1e-4, atol=0)
    torch.testing.assert_close(mean.double(), exact.mean(over), rtol=1e-6, atol=0)
    assert y.var(over, correction=0).sub(1).abs().max() < 1e-3
    centred = exact - exact.mean(over, keepdim=True)
    expected = centred / (exact.var(over, correction=0, keepdim=True) + 1e-5).sqrt()
    assert (y - expected).abs().max() < 3e-3  # half a unit in the last place of 1e4
