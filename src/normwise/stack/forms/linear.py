"""F.linear of many runs: batched matrix products.

Shapes: R runs, M samples (all leading axes), I inputs, O outputs.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from normwise.stack.forms.axes import runs_first


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Stand for `F.linear`."""
    return _Linear.apply(input, weight, bias)  # type: ignore[return-value]


class _Linear(torch.autograd.Function):
    """F.linear, with a rule for torch.vmap."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.linear(x, weight, bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG004
        ctx.save_for_backward(*inputs[:2])
        ctx.has_bias = inputs[2] is not None

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Reached only where no run axis is involved."""
        [g], (x, weight) = grads, ctx.saved_tensors
        flat = g.flatten(0, -2) if g.ndim > 1 else g[None]
        dweight = flat.mT @ (x.flatten(0, -2) if x.ndim > 1 else x[None])
        return g @ weight, dweight, flat.sum(0) if ctx.has_bias else None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> tuple[Tensor, int]:
        x, weight, bias = runs_first(args, in_dims, info.batch_size)
        if x.ndim == 3:
            return _Batched.apply(x, weight, bias), 0  # type: ignore[return-value]
        rows = x.flatten(1, -2) if x.ndim > 3 else x[:, None]
        out = _Batched.apply(rows, weight, bias)
        return out.view(*x.shape[:-1], weight.shape[1]), 0  # type: ignore


class _Batched(torch.autograd.Function):
    """x (R, M, I) times weight (R, O, I) gives (R, M, O).

    Weights are stored as (R, I, O) (see `stacked.py`), with which both the product and, here, the
    gradient run along the grain of memory; torch's own backward would give it across.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.has_bias = bias is not None
        if bias is None:
            return torch.bmm(x, weight.mT)
        return torch.baddbmm(bias[:, None], x, weight.mT)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        [g], (x, weight) = grads, ctx.saved_tensors
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        return (
            torch.bmm(g, weight) if needs_x else None,
            torch.bmm(x.mT, g).mT if needs_weight else None,
            g.sum(1) if needs_bias and ctx.has_bias else None,
        )
