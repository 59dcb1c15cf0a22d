"""F.cross_entropy of many runs, classes first.

Shapes: R runs, N samples, C classes. torch's log_softmax over a short last axis takes several times
as long as over a first one, where it works on whole vectors of samples (`benchmarks/forms.py`).
"""

import inspect
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from normwise.stack.forms.axes import Form, runs_first
from normwise.stack.forms.dropout import PerRun


def cross_entropy(input: Tensor, target: Tensor, **options: Any) -> Tensor:
    """Stand for `F.cross_entropy` of (N, C) logits and labels; only smoothing is an option."""
    smoothing = options.pop("label_smoothing")
    if options != _DEFAULTS or input.ndim != 2 or target.ndim != 1:
        if isinstance(smoothing, PerRun):
            raise NotImplementedError("smoothed labels of this shape")
        return NotImplemented
    return _CrossEntropy.apply(input, target, smoothing)  # type: ignore[return-value]


_DEFAULTS = {
    name: parameter.default
    for name, parameter in inspect.signature(F.cross_entropy).parameters.items()
    if parameter.default is not parameter.empty and name != "label_smoothing"
}


class _CrossEntropy(Form):
    """F.cross_entropy, with a rule for torch.vmap."""

    @staticmethod
    def forward(logits: Tensor, target: Tensor, smoothing: float) -> Tensor:
        return F.cross_entropy(logits, target, label_smoothing=smoothing)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> tuple[Tensor, int]:
        logits, target = runs_first(args[:2], in_dims, info.batch_size)
        smoothing = args[2]
        if not smoothing:
            return _Stacked.apply(logits, target, None), 0  # type: ignore[return-value]
        values = smoothing.values if isinstance(smoothing, PerRun) else [smoothing] * len(logits)
        return _Stacked.apply(logits, target, logits.new_tensor(values)), 0  # type: ignore


class _Stacked(torch.autograd.Function):
    """Mean loss of each run, (R,), from logits (R, N, C), labels (R, N) and smoothing (R,)."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, target: Tensor, smoothing: Tensor | None) -> Tensor:
        log_p = logits.permute(2, 0, 1).contiguous().log_softmax(0)
        ctx.save_for_backward(log_p, target, smoothing)
        loss = -log_p.gather(0, target[None]).squeeze(0).mean(1)
        return loss if smoothing is None else torch.lerp(loss, -log_p.mean((0, 2)), smoothing)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        [g], (log_p, target, smoothing) = grads, ctx.saved_tensors
        weight = (g / target.shape[1])[:, None].expand_as(target)
        dlogits = log_p.exp().mul_(weight)
        if smoothing is not None:
            spread = weight * smoothing[:, None]
            dlogits -= spread / len(dlogits)
            weight = weight - spread
        dlogits.scatter_add_(0, target[None], -weight[None])
        return dlogits.permute(1, 2, 0).contiguous(), None, None
