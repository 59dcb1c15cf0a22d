"""F.batch_norm of many runs, each with its own statistics.

Shapes: R runs, N samples, C channels, * positions. torch.vmap would bring (R, N, C) into the shape
(N, R * C) and back, which costs more than the norm.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from normwise.stack.forms.axes import runs_first


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
    """Stand for `F.batch_norm` on (N, C) inputs; others are left to torch.vmap."""
    if input.ndim != 2 or momentum is None:
        return NotImplemented
    tensors = (input, running_mean, running_var, weight, bias)
    return _BatchNorm.apply(*tensors, training, momentum, eps)  # type: ignore[return-value]


class _BatchNorm(torch.autograd.Function):
    """F.batch_norm, with a rule for torch.vmap."""

    @staticmethod
    def forward(*args: Any) -> Tensor:
        return F.batch_norm(*args)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        raise NotImplementedError("a batch norm that no run's tensor enters")

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        raise NotImplementedError("a batch norm that no run's tensor enters")

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> tuple[Tensor, int]:
        tensors = zip(args[:5], in_dims[:5], strict=True)
        x, mean, var, weight, bias = (runs_first(t, axis, info.batch_size) for t, axis in tensors)
        training, momentum, eps = args[5:]
        if training or mean is None or var is None:
            y = _train(x, mean, var, momentum, eps)  # type: ignore[arg-type]
        else:
            y = (x - mean[:, None]) * (var + eps).rsqrt()[:, None]  # type: ignore[operator]
        if weight is not None:
            y = y * weight[:, None]
        return (y if bias is None else y + bias[:, None]), 0


def _train(
    x: Tensor, running_mean: Tensor | None, running_var: Tensor | None, momentum: float, eps: float
) -> Tensor:
    y, mean, var = _Normalize.apply(x, eps)  # type: ignore[misc]
    if running_mean is not None and running_var is not None:
        n = x.shape[1]
        running_mean.mul_(1 - momentum).add_(mean.squeeze(1), alpha=momentum)
        running_var.mul_(1 - momentum).add_(var.squeeze(1), alpha=momentum * n / (n - 1))
    return y


class _Normalize(torch.autograd.Function):
    """(x - mean) / sqrt(var + eps) over the samples of (R, N, C); also returns mean and var.

    The backward is the closed form of Ioffe & Szegedy 2015, section 3.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        mean = x.mean(1, keepdim=True)
        centred = x - mean
        var = centred.square().mean(1, keepdim=True)
        scale = (var + eps).rsqrt()
        y = centred * scale
        ctx.save_for_backward(y, scale)
        ctx.mark_non_differentiable(mean, var)
        return y, mean, var

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        g, (y, scale) = grads[0], ctx.saved_tensors
        along = (g * y).mean(1, keepdim=True)
        return (g - g.mean(1, keepdim=True) - y * along) * scale, None
