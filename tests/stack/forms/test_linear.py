"""Products of many runs, for every shape of input, shared or not."""

from typing import Any

import pytest
import torch.nn.functional as F
from torch import Tensor

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
    tensors = [
        draw(*(() if d is None else (3,)), *s) for s, d in zip((shape, (6, 4)), dims, strict=True)
    ]
    agree(lambda x, w: F.linear(x, w, None), *tensors, dims=dims)


def test_transposed_weights(agree: Any, draw: Any):
    agree(lambda x, w, b: F.linear(x, w.mT, b), draw(3, 5, 4), draw(3, 4, 6), draw(3, 6))


def test_nothing_of_any_run(agree: Any, draw: Any):
    x = draw(5, 4)

    def function(weight: Tensor, bias: Tensor, scale: Tensor) -> Tensor:
        return F.linear(x, weight, bias) * scale.sum()

    agree(function, draw(6, 4), draw(6), draw(3, 2), dims=(None, None, 0))
