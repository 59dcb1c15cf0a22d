"""Functions that go by how a tensor lies in memory, after a convolution with the channels last."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from normwise.stack.forms import LayoutForms, Masks, StackedForms, channels_last

FUNCTIONS = {
    "view": lambda y: y.view(len(y), -1),
    "group_norm": lambda y: F.group_norm(y, 5),
    "group_norm by name": lambda y: F.group_norm(input=y, num_groups=1),
    "max_pool2d": lambda y: F.max_pool2d(y, 2),
    "adaptive_avg_pool2d": lambda y: F.adaptive_avg_pool2d(y, 1),
    "adaptive_avg_pool2d to (1, 1)": lambda y: F.adaptive_avg_pool2d(y, (1, 1)),
    "adaptive_avg_pool2d to a larger size": lambda y: F.adaptive_avg_pool2d(y, (2, None)),
}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_after_a_convolution(function: Any, agree: Any, draw: Any):
    agree(lambda x, w: function(F.conv2d(x, w)), draw(3, 2, 4, 7, 6), draw(3, 5, 4, 3, 2))


def test_view_by_a_list(draw: Any):
    x, weight = draw(3, 2, 4, 7, 6), draw(3, 5, 4, 3, 2)
    with StackedForms(Masks(())):
        y = torch.vmap(lambda x, w: F.conv2d(x, w).view([10, 25]))(x, weight)
    runs = [F.conv2d(x[run], weight[run]).view([10, 25]) for run in range(3)]
    assert torch.allclose(y, torch.stack(runs))


def test_channels_are_last(draw: Any):
    x, weight = draw(3, 2, 4, 7, 6), draw(3, 5, 4, 3, 2)
    middle = x.movedim(2, -1).contiguous().movedim(-1, 2).requires_grad_()
    with StackedForms(Masks(())):
        y = torch.vmap(F.conv2d)(middle, weight)
    assert y.movedim(2, -1).is_contiguous()
    [gradient] = torch.autograd.grad(y.sum(), middle)
    assert gradient.movedim(2, -1).is_contiguous()


@pytest.mark.parametrize("size", [1, (1, 1), [1, 1]])
@pytest.mark.filterwarnings("error")  # torch warns where it goes from run to run
def test_pooling_to_one_value_takes_all_runs_at_once(size: Any, draw: Any):
    x, weight = draw(3, 2, 4, 7, 6), draw(3, 5, 4, 3, 2)
    with StackedForms(Masks(())):
        torch.vmap(lambda x, w: F.adaptive_avg_pool2d(F.conv2d(x, w), size))(x, weight)


def test_view_as_another_type(draw: Any):
    def function(x: Tensor) -> Tensor:
        return x.view(torch.int64)

    x = draw(3, 4)
    with StackedForms(Masks(())):
        seen = torch.vmap(function)(x)
    assert torch.equal(seen, x.view(torch.int64))


@pytest.mark.parametrize("inputs", [1, 2])
@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_one_network_with_the_channels_last(function: Any, inputs: int, draw: Any):
    x, weight = draw(4, inputs, 7, 6), draw(5, inputs, 3, 2)
    with LayoutForms():
        y = F.conv2d(x, channels_last(weight))
        assert y.is_contiguous(memory_format=torch.channels_last)
        found = function(y)
    torch.testing.assert_close(found, function(F.conv2d(x, weight)), rtol=1e-12, atol=1e-12)


def test_weights_that_stay_as_they_are(draw: Any):
    for weight, least in ((draw(4, 3), 1), (draw(4, 3, 2), 1), (draw(4, 3, 2, 2), 5)):
        assert channels_last(weight, least) is weight
    wide = draw(5, 3, 2, 2)
    assert channels_last(wide, 5) is not wide
