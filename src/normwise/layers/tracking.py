"""Running statistics: moved by every group of a batch in turn, or once per round of batches."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from normwise.layers.moments import Moments, pool
from normwise.layers.transforms import in_transform


class Round(NamedTuple):
    """What a round of batches has come to so far: its moments, (C,), and how many batches."""

    mean: Tensor
    var: Tensor
    n: Tensor
    batches: Tensor


class Running(NamedTuple):
    """The buffers that hold running statistics; all are changed in place.

    Attributes:
        mean: of every unit, (C,).
        var: likewise, without bias.
        batches: how many observations moved them, ().
    """

    mean: Tensor
    var: Tensor
    batches: Tensor


def track(
    running: Running,
    seen: Moments,
    momentum: float | None,
    so_far: Round | None = None,
    per_round: int = 1,
) -> None:
    """Move running statistics by what was seen, also inside the transforms of `torch.func`.

    There, running statistics that the calls of a `torch.vmap` share are moved once, by the values
    of all calls together.

    Args:
        running: the buffers.
        seen: moments of groups of samples, (G, C), in order. Groups with less than two values do
            not count: they have no variance.
        momentum: what one group counts for, or None for the average of all.
        so_far: the buffers of a round of batches that count as one.
        per_round: how many these are.
    """
    buffers = *running, *(so_far or ())
    if in_transform():
        _Track.apply(momentum, per_round, seen.mean, seen.var, seen.counts, *buffers)
    else:
        _track(momentum, per_round, seen, buffers)


def finish_round(running: Running, so_far: Round, momentum: float | None) -> None:
    """Let an unfinished round count; nothing changes where none has begun."""
    _move(running, Moments(so_far.mean[None], so_far.var[None], so_far.n[None]), momentum)
    for buffer in so_far:
        buffer.zero_()


class _Track(torch.autograd.Function):
    """No function of anything, but the one way to meet plain tensors inside `torch.func`."""

    @staticmethod
    def forward(momentum: float | None, per_round: int, *tensors: Tensor) -> tuple[()]:
        _track(momentum, per_round, Moments(*tensors[:3]), tensors[3:])
        return ()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[()]) -> None:
        pass

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> tuple[Any, Any]:
        axes, (momentum, per_round, *tensors) = in_dims[2:], args
        if any(axis is not None for axis in axes[3:]):
            torch.vmap(partial(_Track.forward, momentum, per_round), axes)(*tensors)
            return (), ()
        calls = [
            t.expand(info.batch_size, *t.shape) if axis is None else t.movedim(axis, 0)
            for t, axis in zip(tensors[:3], axes[:3], strict=True)
        ]
        _Track.apply(momentum, per_round, *pool(Moments(*calls)), *tensors[3:])
        return (), ()


def _track(
    momentum: float | None, per_round: int, seen: Moments, buffers: Sequence[Tensor]
) -> None:
    running = Running(*buffers[:3])
    if per_round == 1:
        _move(running, seen, momentum)
        return
    so_far = Round(*buffers[3:])
    each = seen.mean, seen.var, seen.counts
    rows = [torch.cat([one[None], more]) for one, more in zip(so_far[:3], each, strict=True)]
    together = pool(Moments(*rows))
    so_far.batches.add_(1)
    complete = so_far.batches == per_round
    n = together.counts.where(complete, 0)  # with none, nothing moves
    _move(running, Moments(together.mean[None], together.var[None], n[None]), momentum)
    now = together.mean, together.var, together.counts, so_far.batches
    for buffer, value in zip(so_far, now, strict=True):
        buffer.copy_(value.where(~complete, 0))


def _move(running: Running, seen: Moments, momentum: float | None) -> None:
    """Move by groups, (G, C), as if they came one after another."""
    mean, var, n = seen
    if momentum is not None and not isinstance(n, Tensor):  # as many everywhere: numbers will do
        if n > 1:
            groups = mean.shape[0]
            each = [momentum * (1 - momentum) ** later for later in reversed(range(groups))]
            each, stays = running.mean.new_tensor(each), (1 - momentum) ** groups
            running.mean.addmv_(mean.T.to(each.dtype), each, beta=stays)
            running.var.addmv_(var.T.to(each.dtype), each, beta=stays, alpha=n / (n - 1))
            running.batches.add_(groups)
        return
    n = seen.counts
    counts = (n > 1).to(var.dtype)  # powers of whole numbers would be float32
    groups = counts.sum(0)
    if momentum is None:
        all_groups = (running.batches + groups).clamp(min=1)
        stays, each = running.batches / all_groups, counts / all_groups
    else:
        later = groups - counts.cumsum(0)
        stays, each = (1 - momentum) ** groups, momentum * counts * (1 - momentum) ** later
    unbiased = var * (n / (n - 1).clamp(min=1))
    running.mean.mul_(stays).add_((each * mean).sum(0))
    running.var.mul_(stays).add_((each * unbiased).sum(0))
    running.batches.add_(counts.any(1).sum())
