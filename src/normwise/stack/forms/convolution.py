"""F.conv1d, conv2d and conv3d of many runs on the CPU: one run after another.

A grouped convolution, which is what torch.vmap makes of many, is slower there than the same
convolutions one after another (`benchmarks/forms.py`). On other devices it is left to torch.vmap.

Images are kept with their channels last, where `torch.stack` leaves them: so torch's kernels are up
to six times as fast for the gradient of the weights, and pooling that follows up to ten times
(`benchmarks/forms.py`).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from normwise.stack.forms.axes import Form, runs_first
from normwise.stack.forms.layout import channels_last

_convolution = torch.ops.aten.convolution.default
_backward = torch.ops.aten.convolution_backward.default

Sizes = int | Sequence[int]


def convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Tensor:
    """Stand for `F.conv1d` to `F.conv3d`."""
    axes = weight.ndim - 2
    if input.device.type != "cpu" or isinstance(padding, str) or input.ndim != weight.ndim:
        return NotImplemented
    sizes = (_each(size, axes) for size in (stride, padding, dilation))
    return _Convolution.apply(input, weight, bias, *sizes, groups)  # type: ignore[return-value]


def _each(size: Sizes, axes: int) -> list[int]:
    listed = [size] if isinstance(size, int) else list(size)
    return listed * axes if len(listed) == 1 else listed


def _convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
) -> Tensor:
    nothing = [0] * len(stride)
    return _convolution(x, weight, bias, stride, padding, dilation, False, nothing, groups)


class _Convolution(Form):
    """A convolution, with a rule for torch.vmap."""

    @staticmethod
    def forward(*args: Any) -> Tensor:
        return _convolve(*args)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> tuple[Tensor, int]:
        x, weight, bias = runs_first(args[:3], in_dims, info.batch_size)
        biases = (None,) * info.batch_size if bias is None else bias
        runs = zip(x, weight, biases, strict=True)
        return torch.stack([_One.apply(*run, *args[3:]) for run in runs]), 0  # type: ignore


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x


class _One(torch.autograd.Function):
    """One run's convolution."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, *options: Any) -> Tensor:
        x, weight = _channels_last(x), channels_last(weight)
        ctx.save_for_backward(x, weight)
        ctx.options = options
        ctx.has_bias = bias is not None
        return _convolve(x, weight, bias, *options)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        g, (x, weight) = _channels_last(grads[0]), ctx.saved_tensors
        stride, padding, dilation, groups = ctx.options
        needs_x, needs_weight, _ = ctx.needs_input_grad[:3]
        dx, dweight, _ = _backward(
            *(g, x, weight, None, stride, padding, dilation, False, [0] * len(stride), groups),
            [needs_x, needs_weight, False],
        )
        dbias = g.sum([0, *range(2, g.ndim)]) if ctx.has_bias else None
        return dx, dweight, dbias, *(None,) * 4
