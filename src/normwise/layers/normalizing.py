"""Normalise groups of samples by their own statistics, or by what stands in for them.

Shapes: N samples of C units and, if any, positions are G groups of B samples with L positions:
(N, C, *) becomes (G, B, C, L), or (G, B, C). What there is per unit has size 1 for B and L, and for
G where the groups share it.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from normwise.layers.closed_form import batch_norm_backward
from normwise.layers.moments import Moments, at_least_one, moments
from normwise.layers.replicas import over_replicas, total_of_replicas
from normwise.layers.rows import moments_of_vectors, worth_calls
from normwise.layers.transforms import followed
from normwise.layers.validity import Validity, validity


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
    x: Tensor, groups: int, weight: Tensor, bias: Tensor, mask: Tensor | None, by: Statistics
) -> tuple[Tensor, Moments]:
    """Return samples normalised in groups of equal size, and the moments of the groups.

    Args:
        x: the samples, (N, C, *).
        groups: how many.
        weight: (C,).
        bias: (C,).
        mask: elements for which it is False neither count nor change; (N, C, *) or (N, 1, *).
        by: which statistics to use.
    """
    with torch.no_grad():
        grouped = _grouped(x, groups)
        kept = None if mask is None else _grouped(mask, groups)
        valid = validity(kept)
        by_hand = not followed()
        room = torch.empty_like(grouped, dtype=_exact(x.dtype)) if by_hand else None
        if by_hand and mask is None and worth_calls(grouped):
            found = moments_of_vectors(grouped)
        else:
            found = moments(grouped, _unit_dims(grouped), valid, room)
        if by.replicas is not None:
            found = over_replicas(found, by.replicas)
        mean, var, share = _in_use(found, by)
        rstd = (var + by.eps).rsqrt()
    if by.clip is not None:
        r, d = _correction(mean, var, by)
        weight, bias = (per_unit(t, x) for t in (weight, bias))
        weight, bias = weight * r, bias + weight * d
    inputs = x, weight, bias, mean, rstd, share, mask, by.replicas
    if by_hand:
        y, *_ = _Normalize.apply(*inputs, valid, room)  # type: ignore
    else:
        y, *_ = _Transformed.apply(*inputs, None, None)  # type: ignore
    return y, found


def per_unit(values: Tensor, x: Tensor) -> Tensor:
    """(C,) becomes what broadcasts to groups of `x`; what does so already stays."""
    if values.ndim > 1:
        return values
    return values.view(1, 1, -1, 1) if x.ndim > 2 else values.view(1, 1, -1)


def _grouped(x: Tensor, groups: int) -> Tensor:
    """(N, C, *) becomes (G, B, C, L), or (G, B, C)."""
    samples, positions = x.shape[0] // groups, x.shape[2:]
    if not positions:
        return x.reshape(groups, samples, x.shape[1])
    return x.reshape(groups, samples, x.shape[1], positions.numel())


def _exact(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def _unit_dims(x: Tensor) -> tuple[int, ...]:
    """Return the dimensions of samples and positions."""
    return (1, 3) if x.ndim > 3 else (1,)


def _in_use(found: Moments, by: Statistics) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean and variance to use, and the share that each value has in them."""
    mean, var, n = found
    if not by.fallback or by.running is None:
        share = 1 / at_least_one(n)
        one = (1,) * mean.ndim
        return mean, var, share if isinstance(share, Tensor) else mean.new_full(one, share)
    alone = found.counts <= 1
    mean, var = (
        torch.where(alone, given, own) for given, own in zip(by.running, (mean, var), strict=True)
    )
    return mean, var, torch.where(alone, 0, 1 / found.counts)


def _correction(mean: Tensor, var: Tensor, by: Statistics) -> tuple[Tensor, Tensor]:
    """Return r and d of batch renormalization (Ioffe 2017, algorithm 1)."""
    assert by.running is not None
    assert by.clip is not None
    (running_mean, running_var), (r_max, d_max) = by.running, by.clip
    invstd = (running_var + by.eps).rsqrt()
    r = ((var + by.eps).sqrt() * invstd).clamp(1 / r_max, r_max)
    d = ((mean - running_mean) * invstd).clamp(-d_max, d_max)
    return r, d


class _Closed(torch.autograd.Function):
    """(x - mean) * rstd * weight + bias, whose gradient knows what of this is made of x.

    It keeps x alone, as torch does. It also returns mean and rstd: the backward is made of them and
    of x, and so can be differentiated again.
    """

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        x, mean, rstd, weight, share, mask = ctx.saved_tensors
        grad, grad_mean, grad_rstd = grads
        shape, shape_of_weight, groups = x.shape, weight.shape, mean.shape[0]
        weight, x = per_unit(weight, x), _grouped(x, groups)
        mask = None if mask is None else _grouped(mask, groups)

        def total(sums: Tensor) -> Tensor:
            return sums if ctx.replicas is None else total_of_replicas(sums, ctx.replicas)

        dx = dweight = dbias = None
        if grad is not None:
            dx, dweight, dbias = batch_norm_backward(
                _grouped(grad, groups),
                x,
                rstd * weight,
                _unit_dims(x),
                mean=mean,
                rstd=rstd,
                share=share,
                mask=mask,
                clean=ctx.clean,
                total=None if ctx.replicas is None else total,
            )
            sums = (each.sum_to_size(weight.shape) for each in (dweight, dbias))
            dweight, dbias = (each.view(shape_of_weight) for each in sums)
        # The rest is for second derivatives: mean and rstd are made of x, too.
        if grad_mean is not None:
            pull = share * total(grad_mean) * (torch.ones_like(x) if mask is None else mask)
            dx = pull if dx is None else dx + pull
        if grad_rstd is not None:
            centred = x - mean if mask is None else torch.where(mask, x - mean, 0)
            pull = centred * (-share * rstd**3 * total(grad_rstd))
            dx = pull if dx is None else dx + pull
        dx = None if dx is None else dx.reshape(shape)
        return dx, dweight, dbias, None, None, None, None, None, None, None


class _Normalize(_Closed):
    """As it is called fastest."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, Tensor, Tensor]:
        output = _forward(*inputs)
        _save(ctx, inputs, output)
        return output


class _Transformed(_Closed):
    """As compilers and the transforms of `torch.func` want it."""

    @staticmethod
    def forward(*inputs: Any) -> tuple[Tensor, Tensor, Tensor]:
        return _forward(*inputs)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        _save(ctx, inputs, output)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> tuple[Any, Any]:
        """Make the groups of all runs groups of one call: (R, G, ...) becomes (R * G, ...)."""
        runs = info.batch_size

        def stacked(tensor: Tensor, axis: int | None) -> Tensor:
            tensor = tensor[None] if axis is None else tensor.movedim(axis, 0)
            return tensor.expand(runs, *tensor.shape[1:])

        *tensors, mask, replicas, _, _ = args
        x, *others = [stacked(t, axis) for t, axis in zip(tensors, in_dims, strict=False)]
        groups, shape = others[2].shape[1], (1, 1, -1, *([1] if x.ndim > 3 else []))
        others = [t.view(runs, *shape) if t.ndim == 2 else t for t in others]
        folded = [t.expand(-1, groups, *t.shape[2:]).flatten(0, 1) for t in others]
        mask = None if mask is None else stacked(mask, in_dims[6]).flatten(0, 1)
        y, *found = _Transformed.apply(x.flatten(0, 1), *folded, mask, replicas, None, None)  # type: ignore
        unfolded = (each.unflatten(0, (runs, groups)) for each in found)
        return (y.unflatten(0, (runs, -1)), *unfolded), (0, 0, 0)


def _forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    rstd: Tensor,
    share: Tensor,  # noqa: ARG001
    mask: Tensor | None,
    replicas: "dist.ProcessGroup | None",  # noqa: ARG001
    valid: Validity | None,
    room: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    groups, scale = mean.shape[0], rstd * per_unit(weight, x)
    wide = _grouped(x.to(scale.dtype), groups)
    shift = torch.addcmul(per_unit(bias, x), mean, scale, value=-1)
    y = torch.addcmul(shift, wide, scale, out=room)
    if mask is not None:
        y = (valid or validity(_grouped(mask, groups))).put_back(y, wide, room)
    # To autograd no view, so that an activation may write over it.
    y = torch.ops.aten._unsafe_view(y, x.shape)
    return y.to(x.dtype), mean.view_as(mean), rstd.view_as(rstd)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    x, weight, _, _, _, share, mask, replicas, valid, _ = inputs
    ctx.save_for_backward(x, *output[1:], weight, share, mask)
    ctx.replicas, ctx.clean = replicas, valid is not None and valid.clean
    ctx.set_materialize_grads(False)
