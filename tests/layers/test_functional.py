"""The closed forms against autograd, and batch_norm as a function."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.testing import assert_close

from normwise.errors import UsageError
from normwise.layers import functional

EXACT: Any = {"rtol": 1e-11, "atol": 1e-11}


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(
    ("shape", "dim"), [((8, 3), [0]), ((4, 3, 5), [0, 2]), ((2, 4, 3, 2, 2), [1, 3, 4])], ids=str
)
@pytest.mark.parametrize("centred", [True, False])
def test_batch_norm_backward_is_autograds(shape: Any, dim: list[int], centred: bool):
    units = [1 if axis in dim else size for axis, size in enumerate(shape)]
    x, weight, bias = (t.requires_grad_() for t in (draw(*shape), draw(*units), draw(*units)))
    mean, var = x.mean(dim, keepdim=True), x.var(dim, correction=0, keepdim=True)
    rstd = (var + 1e-5).rsqrt()
    y, grad = (x - mean) * rstd * weight + bias, draw(*shape, seed=1)
    expected = torch.autograd.grad((y * grad).sum(), [x, weight, bias])
    with torch.no_grad():
        normal = x - mean if centred else (x - mean) * rstd
        found = functional.batch_norm_backward(
            grad, normal, weight * rstd, dim, rstd=rstd if centred else 1.0
        )
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other.detach(), **EXACT)


@pytest.mark.parametrize("affine", [True, False])
def test_layer_norm_backward_is_autograds(affine: bool):
    x = draw(4, 5, 3, 2).requires_grad_()
    weight, bias = (draw(3, 2).requires_grad_() for _ in range(2))
    y, grad = F.layer_norm(x, [3, 2], weight if affine else None, bias), draw(4, 5, 3, 2, seed=1)
    wanted = [x, weight, bias] if affine else [x, bias]
    expected = list(torch.autograd.grad((y * grad).sum(), wanted))
    rstd = (x.var((2, 3), correction=0, keepdim=True) + 1e-5).rsqrt().detach()
    normal = (x - x.mean((2, 3), keepdim=True)).detach() * rstd
    given = weight.detach() if affine else None
    dx, dweight, dbias = functional.layer_norm_backward(grad, normal, rstd, [3, 2], given)
    found = [dx, dweight, dbias] if affine else [dx, dbias]
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other, **EXACT)


def test_layer_norm_backward_of_a_single_sample():
    x, grad = draw(5).requires_grad_(), draw(5, seed=1)
    (expected,) = torch.autograd.grad((F.layer_norm(x, [5]) * grad).sum(), [x])
    rstd = (x.var(correction=0) + 1e-5).rsqrt().detach()
    normal = (x - x.mean()).detach() * rstd
    dx, dweight, dbias = functional.layer_norm_backward(grad, normal, rstd, [5])
    assert_close(dx, expected, **EXACT)
    assert_close(dweight, grad * normal, **EXACT)
    assert_close(dbias, grad, **EXACT)


def test_arguments_of_batch_norm_that_are_wrong_are_all_named():
    norm, ones, ghosts = functional.batch_norm, torch.ones(4), {"virtual_batch_size": 2}
    with pytest.raises(UsageError) as caught:
        norm(torch.ones(5, 3), ones, None, ones, training=True, virtual_batch_size=0)
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "running_mean has the shape (4,)",
        "weight has the shape (4,)",
        "running_mean and running_var are given both or not at all",
        "virtual_batch_size=0",
    ]
    with pytest.raises(UsageError, match=r"shape \(N, C, \*\), not \(4,\)"):
        norm(ones, None, None, training=True)
    with pytest.raises(UsageError, match="training=False takes running_mean"):
        norm(torch.ones(5, 4), None, None)
    with pytest.raises(UsageError, match=r"shape \(5, 4\) has a group with one value"):
        norm(torch.ones(5, 4), None, None, training=True, **ghosts)


def test_given_statistics_have_no_share_in_the_gradient():
    x, scale, grad = draw(6, 3), draw(3).abs(), draw(6, 3, seed=1)
    dx, dweight, dbias = functional.batch_norm_backward(grad, x, scale, [0], share=0.0)
    assert_close(dx, grad * scale, **EXACT)
    assert_close(dweight[0], (grad * x).sum(0), **EXACT)
    assert_close(dbias[0], grad.sum(0), **EXACT)


def test_half_precision_is_summed_up_in_single():
    grad = torch.ones(4096, 2, dtype=torch.bfloat16)
    normal = torch.ones(4096, 2, dtype=torch.bfloat16)
    _, dweight, dbias = functional.batch_norm_backward(grad, normal, torch.ones(2), [0])
    assert dweight.tolist() == dbias.tolist() == [[4096.0, 4096.0]]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("size", [None, 4])
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("tracked", [True, False])
def test_batch_norm(training: bool, size: int | None, masked: bool, tracked: bool):
    if not (training or tracked):
        pytest.skip("torch.nn.functional refuses it")
    x, weight, bias = draw(8, 3, 5), draw(3), draw(3)
    ours, theirs = ([torch.ones(3).double(), torch.ones(3).double()] for _ in range(2))
    mask = torch.arange(5) < 2 + torch.arange(8)[:, None] % 3 if masked else None
    y = functional.batch_norm(
        x, *(ours if tracked else [None, None]), weight, bias, training, 0.3, 0.01,
        mask=mask, virtual_batch_size=size,
    )  # fmt: skip
    parts = x.split(size) if size and training else [x]
    kept = torch.ones(8, 5, dtype=torch.bool) if mask is None else mask
    outs = []
    for part, valid in zip(parts, kept.split(size) if size and training else [kept], strict=True):
        rows, given = part.mT.clone(), theirs if tracked else [None, None]
        rows[valid] = F.batch_norm(rows[valid], *given, weight, bias, training, 0.3, 0.01)
        outs.append(rows.mT)
    assert_close(y, torch.cat(outs), **EXACT)
    for one, other in zip(ours, theirs, strict=True):
        assert_close(one, other, **EXACT)


def test_a_mask_that_does_not_fit_is_refused():
    with pytest.raises(UsageError, match="it takes"):
        functional.batch_norm(draw(2, 3), None, None, training=True, mask=torch.ones(3) > 0)
