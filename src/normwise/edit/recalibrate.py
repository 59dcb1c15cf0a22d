"""Measure the population statistics of batch norms anew, exactly."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from normwise.edit.calibrating import (
    Dependence,
    Forward,
    Pass,
    Population,
    Sparing,
    call,
    showing,
    together,
)
from normwise.edit.freeze_norm import is_frozen
from normwise.edit.given import check_network
from normwise.edit.log import Edit, remember
from normwise.edit.making import short
from normwise.errors import UsageError
from normwise.trace import undisturbed, unwrapped

_NONE = object()


def recalibrate(
    network: nn.Module,
    loader: Iterable[Any],
    forward: Forward | None = None,
    *,
    exact: bool = True,
    progress: bool | None = None,
) -> nn.Module:
    """Set the running statistics of every batch norm to those of the data.

    Mean and variance are pooled over all values, whatever the sizes of the batches, in float64 and
    within a batch about a value near the mean, so that a mean of 1e4 leaves a variance of 1; the
    variance is divided by their number, as in the normalization itself (Ioffe & Szegedy 2015,
    algorithm 2; Wu & Johnson 2021, "Rethinking 'Batch' in BatchNorm", section 3, show what is
    gained over moving averages). Dropout and all else is in evaluation mode.

    What a norm sees depends on the statistics of the norms before it, so there are two answers:

    - `exact`: of what it sees in evaluation. Norms are measured in the order in which they build on
      each other, with one pass over the data for each step; norms that do not build on each other
      share a pass, and a pass ends where its norms have been reached. The result does not depend on
      order and size of the batches, which may hold a single sample. A norm that sees what it has
      made itself, in a loop, normalises with the statistics of the batch while it is measured.
    - `exact=False`: of what it sees in training, when the norms before it use the statistics of
      the batch. That takes one pass, and depends on the batches as training does.

    In a `torch.distributed` process group every process brings its share of the data and all get
    the pooled statistics. Parameters, other buffers, modes and random state stay as they are, and
    so do frozen norms; if anything fails, the old statistics are back.

    Args:
        network: changed in place. It may be compiled or in `DistributedDataParallel`.
        loader: batches. A mapping gives keyword arguments; of a tuple or list the first element is
            the input. Where several passes are needed it must not be an iterator.
        forward: how to run the network on a batch, if otherwise: called with the network and the
            batch.
        exact: see above. Default: True
        progress: show a bar; None shows it where standard error is a terminal.

    Returns:
        The network.

    Raises:
        UsageError: there is no batch norm with running statistics, the loader is empty or used up
            too soon, the network does not run on a batch, or what a norm sees is not finite.

    Example:
        >>> net = nn.Sequential(nn.BatchNorm1d(1), nn.Linear(1, 2), nn.BatchNorm1d(2))
        >>> _ = nn.init.ones_(net[1].weight)
        >>> x = torch.arange(10.0)[:, None]
        >>> net = recalibrate(net, x.split(4))
        >>> net[0].running_mean.item(), net[0].running_var.item()
        (4.5, 8.25)
        >>> y = net.eval()(x)
        >>> y.mean(0).abs().max().item() < 1e-6, y.var(0, correction=0).sub(1).abs().max() < 1e-3
        (True, tensor(True))
    """
    check_network(network)
    inner = unwrapped(network)
    norms = _norms(inner)
    with undisturbed(inner), torch.no_grad():
        inner.eval()
        measuring = _Measuring(inner, norms, loader, Sparing(forward or call))
        plan = measuring.plan(exact=exact)
        measured = measuring.run(plan, progress)
    if not measured:
        raise UsageError("no batch norm of this network was used on these batches")
    for path, population in measured.items():
        _write(path, norms[path], population)
    remember(inner, (_told(path, norms[path], plan, measured.get(path)) for path in norms))
    return network


@dataclass(frozen=True)
class _Plan:
    """Which norms are measured in which pass.

    Attributes:
        levels: their paths, pass by pass.
        batchwise: those that normalise with the statistics of the batch meanwhile.
        calls: how often a batch uses each norm, or None where that does not matter.
    """

    levels: list[set[str]]
    batchwise: set[str]
    calls: Counter[str] | None


class _Measuring:
    """All passes over the data.

    Args:
        network: in evaluation mode; the running statistics of its norms are moved on the way.
        norms: to be measured, by path.
        loader: of batches.
        forward: runs the network on one.
    """

    def __init__(
        self, network: nn.Module, norms: dict[str, Any], loader: Iterable[Any], forward: Forward
    ) -> None:
        self._network, self._norms = network, norms
        self._loader, self._forward = loader, forward
        self._device: torch.device = next(iter(norms.values())).running_mean.device
        with together(self._device):
            self._batches = _iterator(loader)
            self._first = next(self._batches, _NONE)
            if self._first is _NONE:
                raise UsageError("the loader is empty: give at least one batch")

    def plan(self, *, exact: bool) -> _Plan:
        """Find out which norms have to be measured before which."""
        everything = set(self._norms)
        if not exact:
            return _Plan([everything], everything, None)
        with together(self._device):
            seen = Dependence(self._network, self._norms)
            with seen.hooks(), seen:
                self._forward(self._network, self._first)
            levels = seen.levels()
            if len(levels) > 1 and self._batches is self._loader:
                raise UsageError(
                    f"loader={type(self._loader).__name__} is an iterator, used up after one pass, "
                    f"and {len(levels)} are needed, since batch norms build on each other: give a "
                    "DataLoader or a list of batches, or take exact=False"
                )
        return _Plan(levels, seen.circular(), seen.calls)

    def run(self, plan: _Plan, progress: bool | None) -> dict[str, Population]:
        """Measure the norms, and leave each with its new statistics."""
        measured: dict[str, Population] = {}
        length = len(self._loader) if isinstance(self._loader, Sized) else None
        total = length and length * len(plan.levels)
        with showing(progress, "recalibrating", total) as advance:
            for level in plan.levels:
                last = level is plan.levels[-1]
                stop_after = None if last else plan.calls
                one = Pass(self._norms, level, level & plan.batchwise, stop_after)
                self._run(one, plan.calls if last else None, advance)
                for path in level:
                    one.populations[path].pool()
                    if one.populations[path].count:
                        _write(path, self._norms[path], one.populations[path])
                        measured[path] = one.populations[path]
        return measured

    def _run(self, one: Pass, expected: Counter[str] | None, advance: Callable[[], None]) -> None:
        with together(self._device), one.measuring():
            count = 0
            for batch in self._all():
                one.run(self._network, self._forward, batch)
                count += 1
                advance()
            steady = expected is None or all(
                one.calls[path] == count * expected[path] for path in self._norms
            )
            if not steady:
                raise UsageError(
                    "the forward does not use the same batch norms for every batch, so that no "
                    "order of measuring them is right for all: take exact=False"
                )

    def _all(self) -> Iterable[Any]:
        """Return the batches; the first time, the first is taken already."""
        if self._first is _NONE:
            return self._loader
        first, self._first = self._first, _NONE
        return chain([first], self._batches)


def _iterator(loader: Iterable[Any]) -> Iterator[Any]:
    if isinstance(loader, Tensor) or not isinstance(loader, Iterable):
        raise UsageError(
            f"loader={type(loader).__name__}: give a DataLoader, or batches such as x.split(256)"
        )
    return iter(loader)


def _norms(network: nn.Module) -> dict[str, Any]:
    """Return the norms to measure, and refuse a network without."""
    kind = nn.modules.batchnorm._BatchNorm
    norms: dict[str, Any] = {p: m for p, m in network.named_modules() if isinstance(m, kind)}
    tracked = {path: norm for path, norm in norms.items() if norm.running_mean is not None}
    lazy = [path for path, norm in tracked.items() if nn.parameter.is_lazy(norm.running_mean)]
    free = {path: norm for path, norm in tracked.items() if not is_frozen(norm)}
    if lazy:
        raise UsageError(
            f"{', '.join(lazy)} is lazy and has no shape yet: run the network on one batch first"
        )
    if not free:
        reason = "is frozen: unfreeze_norm it first" if tracked else "has running statistics"
        which = "every batch norm of this network" if tracked else "no batch norm of this network"
        raise UsageError(f"nothing to recalibrate: {which} {reason}")
    return free


def _write(path: str, norm: Any, population: Population) -> None:
    mean = population.mean.to(norm.running_mean.dtype)
    variance = population.variance.to(norm.running_var.dtype)
    if not (mean.isfinite().all() and variance.isfinite().all()):
        raise UsageError(
            f"what enters {path or 'the norm'} is not finite, or too large for its buffers of "
            f"{norm.running_mean.dtype}. The old statistics are back"
        )
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)


def _told(path: str, norm: nn.Module, plan: _Plan, population: Population | None) -> Edit:
    name = short(norm)
    if population is None:
        return Edit("recalibrate", path, f"{name}: left as it was", "no batch has used it")
    done = f"{name}: mean and variance of {population.count} values per channel"
    circular = plan.calls is not None and path in plan.batchwise
    note = "it sees what it has made itself, so each batch was normalised on its own"
    return Edit("recalibrate", path, done, note if circular else "")
