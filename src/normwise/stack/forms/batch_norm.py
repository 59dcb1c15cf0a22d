"""F.batch_norm of many runs, each with its own statistics.

Shapes: R runs, N samples, C channels, * positions. torch.vmap would bring (R, N, C, *) into the
shape (N, R * C, *) and back.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from normwise.layers.functional import batch_norm_backward
from normwise.stack.forms.axes import Form, runs_first


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Stand for `F.batch_norm`."""
    tensors = (input, running_mean, running_var, weight, bias)
    return _BatchNorm.apply(*tensors, training, momentum, eps)  # type: ignore[return-value]


class _BatchNorm(Form):
    """F.batch_norm, with a rule for torch.vmap."""

    @staticmethod
    def forward(*args: Any) -> Tensor:
        return F.batch_norm(*args)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> tuple[Tensor, int]:
        x, mean, var, weight, bias = runs_first(args[:5], in_dims, info.batch_size)
        training, momentum, eps = args[5:]
        if training or mean is None or var is None:
            y, batch_mean, batch_var = _Normalize.apply(x, weight, bias, eps)  # type: ignore
            _update(mean, var, batch_mean, batch_var, momentum, x[0, :, 0].numel())
            return y, 0
        scale = (var + eps).rsqrt()
        scale = scale if weight is None else scale * weight
        y = (x - _along(mean, x)) * _along(scale, x)
        return (y if bias is None else y + _along(bias, x)), 0


def _update(
    running_mean: Tensor | None,
    running_var: Tensor | None,
    mean: Tensor,
    var: Tensor,
    momentum: float,
    n: int,
) -> None:
    """Move the running statistics; the variance without bias, as torch does."""
    if running_mean is not None and running_var is not None:
        running_mean.mul_(1 - momentum).add_(mean, alpha=momentum)
        running_var.mul_(1 - momentum).add_(var, alpha=momentum * n / (n - 1))


class _Normalize(torch.autograd.Function):
    """(x - mean) / sqrt(var + eps) * weight + bias over samples and positions of (R, N, C, *).

    Also returns mean and var, (R, C).
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        over = [1, *range(3, x.ndim)]
        mean = x.mean(over, keepdim=True)
        centred = x - mean
        var = centred.square().mean(over, keepdim=True)
        inverse = (var + eps).rsqrt()
        scale = inverse if weight is None else inverse * _along(weight, x)
        y = centred * scale if bias is None else torch.addcmul(_along(bias, x), centred, scale)
        ctx.save_for_backward(centred, inverse, scale)
        ctx.mark_non_differentiable(mean, var)
        return y, mean.flatten(1), var.flatten(1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        g, (centred, inverse, scale) = grads[0], ctx.saved_tensors
        over = [1, *range(3, g.ndim)]
        dx, dweight, dbias = batch_norm_backward(g, centred, scale, over, rstd=inverse)
        _, has_weight, has_bias, _ = ctx.needs_input_grad
        return (
            dx,
            dweight.flatten(1) if has_weight else None,
            dbias.flatten(1) if has_bias else None,
            None,
        )


def _along(channels: Tensor, x: Tensor) -> Tensor:
    """Bring (R, C) into a shape that broadcasts along the channels of (R, N, C, *)."""
    return channels.view(len(channels), 1, -1, *(1,) * (x.ndim - 3))
