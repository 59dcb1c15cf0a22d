"""Products of many runs, for every shape of input, shared or not."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from normwise.stack.forms import Masks, StackedForms

SHAPES = [(4,), (5, 4), (2, 5, 4), (2, 3, 5, 4)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dims", [(0, 0, 0), (None, 0, 0), (0, None, 0), (0, 0, None), (1, 2, 1)])
def test_linear(shape: tuple[int, ...], dims: Any, agree: Any, draw: Any):
    if dims[0] == 1 and len(shape) == 1:
        shape = (7, 4)
    whole = [
        draw(*s) if d is None else draw(3, *s).movedim(0, d).contiguous()
        for s, d in zip((shape, (6, 4), (6,)), dims, strict=True)
    ]
    agree(F.linear, *whole, dims=dims)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dims", [(0, 0), (None, 0), (0, None)])
def test_no_bias(shape: tuple[int, ...], dims: Any, agree: Any, draw: Any):
    tensors = [draw(*(() if d is None else (3,)), *s) for s, d in zip((shape, (6, 4)), dims)]
    agree(lambda x, w: F.linear(x, w, None), *tensors, dims=dims)


def test_transposed_weights(agree: Any, draw: Any):
    agree(lambda x, w, b: F.linear(x, w.mT, b), draw(3, 5, 4), draw(3, 4, 6), draw(3, 6))


def test_a_shared_input_is_one_wide_product(draw: Any, monkeypatch: pytest.MonkeyPatch):
    products: list[torch.Size] = []
    plain = F.linear
    monkeypatch.setattr(F, "linear", lambda *args: products.append(args[1].shape) or plain(*args))
    x, weight, bias = draw(5, 4), draw(3, 6, 4), draw(3, 6)
    with StackedForms(Masks(())):
        out = torch.vmap(plain, (None, 0, 0))(x, weight, bias)
    assert products == [(18, 4)]
    torch.testing.assert_close(out, torch.einsum("ni,roi->rno", x, weight) + bias[:, None])


def test_nothing_of_any_run(draw: Any):
    x, weight, bias = draw(5, 4), draw(6, 4).requires_grad_(), draw(6).requires_grad_()
    ours, theirs = [], []
    for outs, forms in ((ours, True), (theirs, False)):
        if forms:
            with StackedForms(Masks(())):
                outs.append(torch.vmap(lambda s: F.linear(x, weight, bias) * s)(draw(3)))
        outs[:] = outs or [F.linear(x, weight, bias)[None]]
        outs += torch.autograd.grad(outs[0][0].pow(2).sum(), [weight, bias])
    scale = (ours[0][0] / theirs[0][0]).mean()
    torch.testing.assert_close(ours[0][0], theirs[0][0] * scale)
    for a, b in zip(ours[1:], theirs[1:], strict=True):
        torch.testing.assert_close(a, b * scale**2)
