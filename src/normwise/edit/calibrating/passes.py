"""One pass over the data that measures what enters some batch norms."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
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
        populations: of each norm measured, by path.
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
    def measuring(self) -> Iterator[None]:
        """Stand in for the forward of every norm, which costs less than a hook does."""
        norms = self._norms.values()
        own = {norm: vars(norm)["forward"] for norm in norms if "forward" in vars(norm)}
        try:
            for path, norm in self._norms.items():
                norm.forward = self._through(path, norm)
            yield
        finally:
            for norm in norms:
                vars(norm).pop("forward", None)
                vars(norm).update({"forward": own[norm]} if norm in own else {})

    def run(self, network: nn.Module, forward: Forward, batch: Any) -> None:
        """Measure one batch."""
        self._left = self._enough
        with suppress(_Enough):
            forward(network, batch)

    def _through(self, path: str, norm: Any) -> Callable[..., Any]:
        population, forward = self.populations.get(path), norm.forward
        plain = type(norm) is nn.BatchNorm1d and "forward" not in vars(norm)

        def through(*args: Any, **kwargs: Any) -> Any:
            if norm.training:
                raise UsageError(
                    f"the forward puts {path or 'the norm'} in training mode, in which it would "
                    "change its own statistics: leave the mode to recalibrate"
                )
            self.calls[path] += 1
            if population is not None:
                x = args[0] if args else kwargs["input"]
                self._left -= 1
                if plain and self._left and population.takes_normalised(x, norm):
                    return population.add_normalised(x, norm)
                self._measure(path, norm, population, x)
            return forward(*args, **kwargs)

        return through

    def _measure(self, path: str, norm: Any, population: Population, x: Tensor) -> None:
        if x.numel():
            mean, variance = population.add(x)
            if path in self._batchwise:
                _check_size(path, x)
                norm.running_mean.copy_(mean)
                norm.running_var.copy_(variance)
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
