"""Normalise groups of samples by their own statistics, or by what stands in for them.

Shapes: G groups of B samples with C units and, if any, L positions. A tensor is (G, B, C, L) or
(G, B, C); what there is per unit has size 1 for B and L, and for G where the groups share it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from normwise.layers.closed_form import batch_norm_backward
from normwise.layers.moments import Moments, keep_, moments
from normwise.layers.replicas import over_replicas, total_of_replicas
from normwise.layers.transforms import in_transform


@dataclass(frozen=True)
class Statistics:
    """Which mean and variance a group is normalised by.

    Attributes:
        eps: is added to the variance.
        running: mean and variance that can stand in, or correct.
        fallback: use them where a group has a single value per unit.
        clip: r_max and d_max of a batch renormalization towards them, or None.
        replicas: whose moments count as well, or None.
    """

    eps: float
    running: tuple[Tensor, Tensor] | None = None
    fallback: bool = False
    clip: tuple[Tensor, Tensor] | None = None
    replicas: "dist.ProcessGroup | None" = None


def normalize(
    x: Tensor, weight: Tensor, bias: Tensor, mask: Tensor | None, by: Statistics
) -> tuple[Tensor, Moments]:
    """Return the normalised groups, and their moments.

    Args:
        x: the groups.
        weight: per unit.
        bias: per unit.
        mask: elements for which it is False neither count nor change.
        by: which statistics to use.
    """
    with torch.no_grad():
        centred, own = moments(x.detach(), unit_dims(x), mask)
        found = own if by.replicas is None else over_replicas(own, by.replicas)
        mean, var, share = _in_use(found, by)
        if mean is not own.mean:
            moved = centred + (own.mean - mean)
            centred = moved if mask is None else moved.mul_(mask)
        rstd = (var + by.eps).rsqrt()
    if by.clip is not None:
        r, d = _correction(mean, var, by)
        weight, bias = weight * r, bias + weight * d
    y, *_ = _Normalize.apply(x, centred, weight, bias, mean, rstd, share, mask, by.replicas)  # type: ignore
    return y, found


def unit_dims(x: Tensor) -> list[int]:
    """Return the dimensions of samples and positions."""
    return [1, *range(3, x.ndim)]


def _in_use(found: Moments, by: Statistics) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean and variance to use, and the share that each value has in them."""
    mean, var, n = found
    share = 1 / n.clamp(min=1)
    if by.fallback and by.running is not None:
        alone = n <= 1
        mean, var = (
            torch.where(alone, given, own)
            for given, own in zip(by.running, (mean, var), strict=True)
        )
        share = share.where(~alone, 0)
    return mean, var, share


def _correction(mean: Tensor, var: Tensor, by: Statistics) -> tuple[Tensor, Tensor]:
    """Return r and d of batch renormalization (Ioffe 2017, algorithm 1)."""
    assert by.running is not None
    assert by.clip is not None
    (running_mean, running_var), (r_max, d_max) = by.running, by.clip
    invstd = (running_var + by.eps).rsqrt()
    r = ((var + by.eps).sqrt() * invstd).clamp(1 / r_max, r_max)
    d = ((mean - running_mean) * invstd).clamp(-d_max, d_max)
    return r, d


class _Normalize(torch.autograd.Function):
    """centred * rstd * weight + bias, whose gradient knows what of this is made of x.

    It keeps x alone, as torch does. It also returns mean and rstd: the backward is made of them and
    of x, and so can be differentiated again.
    """

    @staticmethod
    def forward(
        x: Tensor,
        centred: Tensor,
        weight: Tensor,
        bias: Tensor,
        mean: Tensor,
        rstd: Tensor,
        share: Tensor,  # noqa: ARG004
        mask: Tensor | None,
        replicas: "dist.ProcessGroup | None",  # noqa: ARG004
    ) -> tuple[Tensor, Tensor, Tensor]:
        y = centred * (rstd * weight)
        if mask is None:
            y.add_(bias)
        else:  # products with 0 are far faster than a selection, and leave infinities alone
            valid = mask.to(y.dtype)
            y.addcmul_(bias, valid).addcmul_(x.to(y.dtype), 1 - valid)
        return y.to(x.dtype), mean.view_as(mean), rstd.view_as(rstd)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        x, _, weight, _, _, _, share, mask, replicas = inputs
        ctx.save_for_backward(x, *output[1:], weight, share, mask)
        ctx.replicas = replicas
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        x, mean, rstd, weight, share, mask = ctx.saved_tensors
        grad, grad_mean, grad_rstd = grads

        def total(sums: Tensor) -> Tensor:
            return sums if ctx.replicas is None else total_of_replicas(sums, ctx.replicas)

        dx = dweight = dbias = None
        if grad is not None:
            dx, dweight, dbias = _backward(grad, x, mean, rstd, weight, share, mask, total)
        # The rest is for second derivatives: mean and rstd are made of x, too.
        if grad_mean is not None:
            pull = share * total(grad_mean) * (torch.ones_like(x) if mask is None else mask)
            dx = pull if dx is None else dx + pull
        if grad_rstd is not None:
            pull = _centred(x, mean, mask) * (-share * rstd**3 * total(grad_rstd))
            dx = pull if dx is None else dx + pull
        return dx, None, dweight, dbias, None, None, None, None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> tuple[Any, Any]:
        """Make the groups of all runs groups of one call: (R, G, ...) becomes (R * G, ...)."""
        runs = info.batch_size
        groups = args[0].movedim(in_dims[0] or 0, 0).shape[0 if in_dims[0] is None else 1]

        def fold(tensor: Tensor | None, axis: int | None) -> Tensor | None:
            if tensor is None:
                return None
            tensor = tensor[None] if axis is None else tensor.movedim(axis, 0)
            return tensor.expand(runs, groups, *tensor.shape[2:]).flatten(0, 1)

        folded = [fold(tensor, axis) for tensor, axis in zip(args[:-1], in_dims[:-1], strict=True)]
        x, centred, *others = folded
        assert centred is not None
        centred = centred.contiguous()  # it is written to, and calls may share it
        outs = _Normalize.apply(x, centred, *others, args[-1])
        return tuple(out.unflatten(0, (runs, groups)) for out in outs), (0, 0, 0)  # type: ignore


def _backward(
    grad: Tensor,
    x: Tensor,
    mean: Tensor,
    rstd: Tensor,
    weight: Tensor,
    share: Tensor,
    mask: Tensor | None,
    total: Callable[[Tensor], Tensor],
) -> tuple[Tensor, Tensor, Tensor]:
    """The closed form; its first steps by torch's kernel for evaluation where that can do them."""
    scale = rstd * weight
    if mask is None and _kernel_fits(x, scale):
        dx, dweight, dbias = _without_statistics(grad, x, mean, rstd, weight)
        over_w, over_b = total(torch.stack([dweight, dbias]))
        slope = -share * scale * rstd * over_w
        dx.addcmul_(x, slope).sub_(share * scale * over_b + slope * mean)
    else:
        normal, dim = _centred(x, mean, mask), unit_dims(x)
        dx, dweight, dbias = batch_norm_backward(
            grad, normal, scale, dim, rstd=rstd, share=share, mask=mask, total=total
        )
    return dx, dweight.sum_to_size(weight.shape), dbias.sum_to_size(weight.shape)


def _kernel_fits(x: Tensor, scale: Tensor) -> bool:
    """Whether the kernel can take x, and nobody follows what it does."""
    followed = torch.is_grad_enabled() or in_transform()
    return x.ndim == 4 and x.numel() > 0 and x.dtype == scale.dtype and not followed


def _without_statistics(
    grad: Tensor, x: Tensor, mean: Tensor, rstd: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients as if mean and rstd were constants.

    Every sample's channels become channels of their own, as in torch's instance norm.
    """
    each = (*x.shape[:3], 1)
    flat = (1, each[0] * each[1] * each[2], x.shape[3])
    statistics = [t.expand(each).reshape(-1) for t in (weight, mean, rstd**-2)]
    outs = torch.ops.aten.native_batch_norm_backward(
        grad.reshape(flat), x.reshape(flat), *statistics, None, None, False, 0.0, [True] * 3
    )
    dx, dweight, dbias = outs
    sums = (t.view(each).sum(1, keepdim=True) for t in (dweight, dbias))
    return dx.view_as(x), *sums


def _centred(x: Tensor, mean: Tensor, mask: Tensor | None) -> Tensor:
    centred = x - mean
    if mask is None:
        return centred
    return torch.where(mask, centred, 0) if torch.is_grad_enabled() else keep_(centred, mask)
