"""Remove whole units from a network."""

from collections.abc import Callable
from typing import Any

from torch import nn
from torch.optim import Optimizer

from normwise.edit.given import check_network
from normwise.edit.log import Edit, remember
from normwise.edit.optimizing import check_optimizer
from normwise.edit.pruning import Key, gone, pools, removable, selection
from normwise.edit.scoring import CRITERIA, Loss, measured
from normwise.edit.units import Group, Proof, Resizing, Snapshot, check_shapes, find_units, told
from normwise.errors import Problems, UsageError, suggest
from normwise.trace import Call
from normwise.trace.matching import Where


def prune(
    network: nn.Module,
    example: Any,
    amount: float = 0.2,
    *,
    by: str = "magnitude",
    where: Where | None = None,
    loss: Loss | None = None,
    max_loss: float | None = None,
    rounds: int = 1,
    finetune: Callable[[nn.Module], object] | None = None,
    optimizer: Optimizer | None = None,
) -> nn.Module:
    """Remove the units of hidden layers that matter least: the network becomes smaller.

    A unit is a feature of a Linear or a channel of a convolution, with everything that belongs to
    it: its place in norms, in the layers that read it, in all branches of a residual sum, in every
    column that a flatten makes of it. The channels of one group of a grouped convolution or group
    norm go together. What belongs together is found by following a pass on `example`, and proved
    on it: in float64 where the network runs in it, the smaller network gives in both modes what
    the former one gives when nothing reads the removed units. Layers for which this fails are left
    alone; `edits` tells which, and why: outputs, attention heads, embeddings, features that are
    normalised together, a forward that has their number written into it.

    Modules keep their class, name and hooks, parameters their identity. What the pass on `example`
    does not use is not seen.

    ============= ====================================================== =======================
    by            the units that go have                                 ranked
    ============= ====================================================== =======================
    `magnitude`   the least sum of absolute weights that make them (Li   within each layer
                  et al. 2017)
    `gamma`       the least mean |γ| of their norms (Liu et al. 2017)     over the whole network
    `sensitivity` the least rise of `loss` when one alone is zero        over the whole network
                  (Mozer & Smolensky 1989)
    ============= ====================================================== =======================

    Args:
        network: changed in place; left as it was if anything is refused or raises.
        example: a batch of at least two inputs: a tensor, or a tuple or dict of arguments.
        amount: the share of the units to remove, in (0, 1), over all rounds; rounded down. Each
            layer keeps at least one.
        by: `magnitude`, `gamma` or `sensitivity`.
        where: which layers: a pattern of names such as `encoder.*`, several, or a predicate of
            path and module. Default: all.
        loss: called with the network in evaluation mode, returns a number, the lower the better;
            for `sensitivity` and `max_loss`.
        max_loss: a round after which the loss is larger is undone, and the last.
        rounds: remove in this many steps of equal size.
        finetune: called with the network after each round, to train it.
        optimizer: its momentum and averages follow.

    Returns:
        The network.

    Raises:
        UsageError: an argument is out of range, the network does not run on the example, or there
            is nothing to remove.

    Example:
        >>> import torch
        >>> import normwise as nw
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        >>> net = nw.prune(net, torch.randn(16, 4), amount=0.5)
        >>> net[0], net[2]
        (Linear(in_features=4, out_features=4, bias=True), Linear(in_features=4, out_features=3, ...
        >>> print(nw.edits(net))
        edit       where  what
        prune 0.5  0      8 units -> 4, by magnitude
        prune 0.5  2      left alone: an output of the network
    """
    check_network(network)
    problems = Problems()
    _check(problems, amount, by, loss, max_loss, rounds)
    check_optimizer(optimizer, network, problems)
    check_shapes(network, problems)
    problems.raise_if_any()
    start = Snapshot(network, optimizer)
    try:
        pruning = _Pruning(network, Call.of(example), amount, by, where, loss, optimizer)
        for number in range(1, rounds + 1):
            before = Snapshot(network, optimizer)
            counts = pruning.remove(amount * number / rounds)
            if finetune is not None:
                finetune(network)
            if not pruning.accepts(counts, max_loss, number):
                before.restore()
                break
    except BaseException:
        start.restore()
        raise
    remember(network, pruning.told())
    return network


class _Pruning:
    """A network whose units go, round by round, and what there is to tell."""

    def __init__(
        self,
        network: nn.Module,
        example: Call,
        amount: float,
        by: str,
        where: Where | None,
        loss: Loss | None,
        optimizer: Optimizer | None,
    ) -> None:
        self._network, self._example = network, example
        self._by, self._loss, self._optimizer = by, loss, optimizer
        self._groups, self._left = removable(network, example, where, by)
        self._current = self._groups
        self._counts = {group.key: len(group) for group in self._groups}
        self._edit, self._undone, self._cleared = f"prune {amount}", "", set[str]()
        if not any(gone(sum(map(len, pool)), amount) for pool in pools(self._groups, by)):
            counts = ", ".join(f"{len(group)} of {group.name}" for group in self._groups)
            raise UsageError(f"amount={amount} is not one whole unit ({counts}): give more")

    def remove(self, share: float) -> dict[Key, int]:
        """Remove units until a share of those there were at first is gone; return what is left."""
        groups = self._current or self._found_again()
        sizes = {group.key: len(group) for group in self._groups}
        changes = selection(self._network, groups, sizes, share, self._by, self._loss)
        if fault := Proof(self._network, self._example).removal_fault(changes):
            raise UsageError(
                f"the network cannot be made smaller: {fault}. Nothing was changed; with `where`, "
                "choose fewer layers"
            )
        resizing = Resizing(self._network, changes)
        resizing.apply()
        self._current = []
        self._cleared.update(resizing.follow(self._optimizer))
        return {group.key: int(copies.sum()) for group, copies in changes}

    def _found_again(self) -> list[Group]:
        found = find_units(self._network, self._example).groups
        return [group for group in found if group.key in self._counts]

    def accepts(self, counts: dict[Key, int], max_loss: float | None, number: int) -> bool:
        """Take note of a round, unless the loss has become too large."""
        if self._loss is not None and max_loss is not None:
            value = measured(self._network, self._loss)
            if not value <= max_loss:  # as nan is not
                self._undone = f"round {number} is undone: loss {value:.4g} > {max_loss:.4g}"
                return False
        self._counts |= counts
        return True

    def told(self) -> list[Edit]:
        """Return what was done, for `edits`."""
        counts = list(self._counts.values())
        how = f"by {self._by}"
        made = told(self._edit, self._groups, counts, how, self._left, sorted(self._cleared))
        return made + ([Edit(self._edit, "", self._undone)] if self._undone else [])


def _check(
    problems: Problems,
    amount: float,
    by: str,
    loss: Loss | None,
    max_loss: float | None,
    rounds: int,
) -> None:
    if not 0 < amount < 1:
        problems.add(f"amount={amount}: the share of units to remove lies between 0 and 1")
    if by not in CRITERIA:
        problems.add(f"unknown by={by!r}{suggest(by, CRITERIA)}: use {', '.join(CRITERIA)}")
    if rounds < 1:
        problems.add(f"rounds={rounds}: removing units takes at least one round")
    for needs, argument in (
        (by == "sensitivity", f"by={by!r}"),
        (max_loss is not None, "max_loss"),
    ):
        if needs and loss is None:
            problems.add(f"{argument} needs loss: a function of the network that returns a number")
