"""One pass over the data that measures what enters some batch norms."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from torch import Tensor, nn

from normwise.edit.calibrating.batches import Forward
from normwise.edit.calibrating.population import Population
from normwise.errors import UsageError


class Pass:
    """Measures norms while a network in evaluation mode runs.

    Args:
        norms: all batch norms of the network, by path.
        measured: paths of those to measure.
        batchwise: paths of those among them that normalise with the statistics of the batch
            meanwhile, as in training.
        expected: how often a batch uses each norm. As soon as those to measure have had all their
            input, the rest of the forward is left out. None runs every forward to its end.

    Attributes:
        moments: of each norm measured, by path.
        calls: how often each norm was used.
    """

    def __init__(
        self,
        norms: Mapping[str, nn.Module],
        measured: Iterable[str],
        batchwise: Iterable[str],
        expected: Mapping[str, int] | None = None,
    ) -> None:
        self._norms, self._batchwise = norms, set(batchwise)
        self.populations = {path: _population(norms[path]) for path in measured}
        self.calls: Counter[str] = Counter()
        self._enough = sum(expected[path] for path in self.populations) if expected else -1
        self._left = self._enough

    @contextmanager
    def hooks(self) -> Iterator[None]:
        """Hook the norms, and unhook them again."""
        handles = []
        try:
            for path, norm in self._norms.items():
                enter = self._enter(path)
                handles.append(norm.register_forward_pre_hook(enter, with_kwargs=True))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def run(self, network: nn.Module, forward: Forward, batch: Any) -> None:
        """Measure one batch."""
        self._left = self._enough
        with suppress(_Enough):
            forward(network, batch)

    def _enter(self, path: str) -> Any:
        def enter(norm: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if norm.training:
                raise UsageError(
                    f"the forward puts {path or 'the norm'} in training mode, in which it would "
                    "change its own statistics: leave the mode to recalibrate"
                )
            self.calls[path] += 1
            if path in self.populations:
                self._measure(path, norm, args[0] if args else kwargs["input"])

        return enter

    def _measure(self, path: str, norm: Any, x: Tensor) -> None:
        if x.numel():
            mean, variance = self.populations[path].add(x)
            if path in self._batchwise:
                _check_size(path, x)
                norm.running_mean.copy_(mean)
                norm.running_var.copy_(variance)
        self._left -= 1
        if not self._left:
            raise _Enough


def _population(norm: Any) -> Population:
    return Population(len(norm.running_mean), norm.running_mean.device)


class _Enough(BaseException):
    """Ends a forward; no `except Exception` of the user's stops it."""


def _check_size(path: str, x: Tensor) -> None:
    if x.numel() == x.shape[1]:
        raise UsageError(
            f"a batch brings {path or 'the norm'} a single value per channel (shape "
            f"{tuple(x.shape)}), which gives no variance to normalise with: use larger batches"
        )
