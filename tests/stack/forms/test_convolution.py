"""Convolutions of many runs, in every dimension and with every option."""

from typing import Any

import pytest
import torch.nn.functional as F

OPTIONS: list[dict[str, Any]] = [
    {},
    {"padding": 1},
    {"padding": 2},
    {"stride": 2, "padding": 1},
    {"dilation": 2},
    {"dilation": 2, "padding": 3},
    {"groups": 2},
    {"groups": 2, "stride": 2, "padding": 1},
    {"padding": "same"},
]
CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("axes", CONVOLUTIONS)
def test_convolution(axes: int, options: dict[str, Any], agree: Any, draw: Any):
    size = (7, 6, 5)[:axes]
    weight = draw(3, 4, 4 // options.get("groups", 1), *(3, 2, 2)[:axes])
    function = CONVOLUTIONS[axes]
    x, bias = draw(3, 2, 4, *size), draw(3, 4)
    agree(lambda x, w, b: function(x, w, b, **options), x, weight, bias)
    agree(lambda x, w: function(x, w, **options), x[0], weight, dims=(None, 0))


def test_options_for_each_axis(agree: Any, draw: Any):
    def function(x: Any, w: Any, b: Any) -> Any:
        return F.conv2d(x, w, b, (2, 1), (0, 1), (1, 2))

    x, weight, bias = draw(3, 2, 4, 7, 6), draw(3, 5, 4, 3, 2), draw(3, 5)
    agree(function, x, weight, bias)
    agree(function, x[0], weight, bias, dims=(None, 0, 0))
    agree(function, x, weight, bias[0], dims=(0, 0, None))
    agree(function, x, weight[0], bias, dims=(0, None, 0))
    agree(function, x.movedim(0, 2), weight.movedim(0, 1), bias, dims=(2, 1, 0))


def test_one_unbatched_sample(agree: Any, draw: Any):
    agree(F.conv2d, draw(3, 4, 7, 6), draw(3, 5, 4, 3, 2), draw(3, 5))
