"""F.cross_entropy of many runs, classes first.

Shapes: R runs, N samples, C classes. torch's log_softmax over a short last axis takes ten times as
long as over a first one, where it works on whole vectors of samples.
"""

import inspect
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from normwise.stack.forms.axes import Form, runs_first


def cross_entropy(input: Tensor, target: Tensor, **options: Any) -> Tensor:
    """Stand for `F.cross_entropy` of (N, C) logits and labels, with its default options."""
    if options != _DEFAULTS or input.ndim != 2 or target.ndim != 1:
        return NotImplemented
    return _CrossEntropy.apply(input, target)  # type: ignore[return-value]


_DEFAULTS = {
    name: parameter.default
    for name, parameter in inspect.signature(F.cross_entropy).parameters.items()
    if parameter.default is not parameter.empty
}


class _CrossEntropy(Form):
    """F.cross_entropy, with a rule for torch.vmap."""

    @staticmethod
    def forward(logits: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(logits, target)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *args: Tensor) -> tuple[Tensor, int]:
        logits, target = runs_first(args, in_dims, info.batch_size)
        return _Stacked.apply(logits, target), 0  # type: ignore[return-value]


class _Stacked(torch.autograd.Function):
    """Mean loss of each run, (R,), from logits (R, N, C) and labels (R, N)."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, target: Tensor) -> Tensor:
        log_p = logits.permute(2, 0, 1).contiguous().log_softmax(0)
        ctx.save_for_backward(log_p, target)
        return -log_p.gather(0, target[None]).squeeze(0).mean(1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        [g], (log_p, target) = grads, ctx.saved_tensors
        weight = (g / target.shape[1])[:, None].expand_as(target)
        dlogits = log_p.exp().mul_(weight)
        dlogits.scatter_add_(0, target[None], -weight[None])
        return dlogits.permute(1, 2, 0).contiguous(), None
