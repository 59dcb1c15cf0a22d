"""What the batch norms of one to three dimensions have in common."""

from collections.abc import Callable
from typing import Any, Self

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from normwise.layers.batch_norm_checks import EXTRAS, check_options, check_shape, check_values
from normwise.layers.groups import by_groups
from normwise.layers.masks import per_element
from normwise.layers.moments import Moments
from normwise.layers.normalizing import Statistics
from normwise.layers.tracking import Round, Running, finish_round, track
from normwise.layers.transforms import in_transform, is_shared, recomputing

_TRACKED = "running_mean", "running_var", "num_batches_tracked"
_PREVIOUS = "previous_mean", "previous_var", "previous_batches"
_ROUND = "round_mean", "round_var", "round_count", "round_batches"
Limit = float | Callable[[Tensor], Tensor]


class ExtendedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """A batch norm with extras; its arguments are explained in `BatchNorm1d`."""

    dims: tuple[int, ...]

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
        virtual_batch_size: int | None = None,
        accumulate: int = 1,
        r_max: Limit | None = None,
        d_max: Limit | None = None,
        sync: "bool | dist.ProcessGroup" = False,
        fallback: bool = False,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype)
        if not bias:
            self.register_parameter("bias", None)
        self.virtual_batch_size = virtual_batch_size
        self.accumulate = accumulate
        self.r_max, self.d_max = r_max, d_max
        self.sync = sync
        self.fallback = fallback
        check_options(self)
        self._add_buffers()

    def forward(self, input: Tensor, mask: Tensor | None = None) -> Tensor:
        """Normalise `input`, where `mask` is True."""
        again = recomputing()
        if mask is None and not self._has_extras(input):
            return self._again(input) if again else super().forward(input)
        self._check_input_dim(input)
        mask = None if mask is None else per_element(mask, input)
        if mask is not None and not self._uses_batch():
            return self._with_running_statistics(input, mask)
        affine, by = (self.weight, self.bias), self._statistics(again=again)
        y, seen = by_groups(input, *affine, by, mask, self.virtual_batch_size)
        if self._tracks() and not again:
            self._track(seen)
        return y

    def reset_running_stats(self) -> None:
        """Forget all that was tracked."""
        super().reset_running_stats()
        for name in self._non_persistent_buffers_set:
            self.get_buffer(name).zero_()

    def train(self, mode: bool = True) -> Self:
        """Set the mode; a round of batches that is not full counts when training ends."""
        if self.training and not mode and (so_far := self._round()):
            finish_round(self._running(), so_far, self.momentum)
        return super().train(mode)

    def extra_repr(self) -> str:
        """Name torch's arguments, and the extras that are in use."""
        used = ((name, getattr(self, name), default) for name, default in EXTRAS.items())
        more = (f"{name}={value}" for name, value, default in used if value != default)
        return ", ".join([super().extra_repr(), *more])

    def _check_input_dim(self, input: Tensor) -> None:
        """Refuse what torch would refuse; its forward calls this."""
        check_shape(self, self.dims, input)
        if self._uses_batch() and not self.fallback and self.sync is False:
            check_values(self, input)

    # --- which way to go -------------------------------------------------------------------------

    def _uses_batch(self) -> bool:
        return self.training or self.running_mean is None

    def _tracks(self) -> bool:
        return self.training and self.track_running_stats

    def _has_extras(self, x: Tensor) -> bool:
        """Whether torch's kernel would not do."""
        return self._uses_batch() and (
            self.virtual_batch_size is not None
            or self.r_max is not None
            or self.sync is not False
            or (self.fallback and x.numel() == self.num_features)
            or (self._tracks() and self._tracks_otherwise())
        )

    def _tracks_otherwise(self) -> bool:
        """Whether torch's kernel would not move the running statistics as it should."""
        if self.accumulate > 1 or is_shared(self._running().mean):
            return True
        # For an average of all, torch takes the number out of a tensor.
        return self.momentum is None and (torch.compiler.is_compiling() or in_transform())

    # --- the statistics --------------------------------------------------------------------------

    def _again(self, x: Tensor) -> Tensor:
        """Do what torch's forward did, and leave the running statistics alone this time."""
        if not self._tracks():
            return super().forward(x)
        self._check_input_dim(x)
        mean, var, _ = (buffer.clone() for buffer in self._running())
        return F.batch_norm(x, mean, var, self.weight, self.bias, True, 0.0, self.eps)

    def _with_running_statistics(self, x: Tensor, mask: Tensor) -> Tensor:
        valid = torch.where(mask, x, 0)  # a NaN would find its way into the weight's gradient
        return torch.where(mask, super().forward(valid), x)

    def _statistics(self, *, again: bool) -> Statistics:
        if self.r_max is None and not self.fallback:
            return Statistics(self.eps, replicas=self._replicas())
        names = _PREVIOUS if again and self.r_max is not None else _TRACKED
        mean, var, step = (_held(self.get_buffer(name)) for name in names)
        limits = None
        if self.r_max is not None:
            step = step.to(mean.dtype)
            limits = _limit(self.r_max, step), _limit(self.d_max, step)
        return Statistics(self.eps, (mean, var), self.fallback, limits, self._replicas())

    def _replicas(self) -> "dist.ProcessGroup | None":
        if self.sync is False or not (dist.is_available() and dist.is_initialized()):
            return None
        group = dist.group.WORLD if self.sync is True else self.sync
        assert group is not None
        return group if group.size() > 1 else None

    def _running(self) -> Running:
        return Running(*[getattr(self, name) for name in _TRACKED])  # get_buffer is slow

    def _round(self) -> Round | None:
        return Round(*map(self.get_buffer, _ROUND)) if self.accumulate > 1 else None

    def _track(self, seen: Moments) -> None:
        running = self._running()
        if self.r_max is not None and not is_shared(running.mean):
            for name, now in zip(_PREVIOUS, running, strict=True):
                self.get_buffer(name).copy_(now)
        track(running, seen, self.momentum, self._round(), self.accumulate)

    def _add_buffers(self) -> None:
        """Add what a state dict of torch's layer has no place for, and needs none."""
        extra: dict[str, Tensor] = {}
        if self.accumulate > 1:
            mean, _, batches = self._running()
            extra |= dict(zip(_ROUND, (mean, mean, mean, batches), strict=True))
        if self.r_max is not None:
            extra |= dict(zip(_PREVIOUS, self._running(), strict=True))
        for name, like in extra.items():
            self.register_buffer(name, torch.zeros_like(like), persistent=False)


def _limit(limit: Limit | None, step: Tensor) -> Tensor:
    value = limit(step) if callable(limit) else limit
    return torch.as_tensor(value, dtype=step.dtype, device=step.device)


def _held(buffer: Tensor) -> Tensor:
    """Return a buffer as it is now, for a backward that comes once it has moved.

    A compiler may compute again in the backward what it finds cheap, from the buffer that it then
    finds; to turn a tensor over is nothing that it would do twice.
    """
    if not torch.compiler.is_compiling():
        return buffer
    return buffer.view(-1).flip(0).flip(0).view_as(buffer)
