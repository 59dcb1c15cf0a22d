"""Which units go."""

from collections.abc import Mapping, Sequence

import numpy as np
from torch import nn

from normwise.edit.scoring import Loss, Scores, gamma_slots, scores
from normwise.edit.units import (
    Group,
    Nodes,
    Proof,
    Slot,
    chosen,
    find_units,
    none_left,
)
from normwise.trace import Call
from normwise.trace.matching import Where

Key = frozenset[Slot]


def removable(
    network: nn.Module, example: Call, where: Where | None, by: str
) -> tuple[list[Group], dict[str, str]]:
    """Return the groups of which a unit can go, tried one by one, and why others are left alone.

    Raises:
        UsageError: there is none, with the reasons.
    """
    groups, left = chosen(network, find_units(network, example), where)
    faults = {group.key: _unfit(network, group, by) for group in groups}
    fit = [group for group in groups if faults[group.key] is None]
    without_first = [(group, (np.arange(len(group)) > 0).astype(np.int64)) for group in fit]
    proved = Proof(network, example).removal_faults(without_first)
    faults |= {group.key: fault for group, fault in zip(fit, proved, strict=True)}
    for group in groups:
        if fault := faults[group.key]:
            left |= dict.fromkeys(group.makers, fault)
    kept = [group for group in groups if faults[group.key] is None]
    if not kept:
        raise none_left(left)
    return kept, left


def _unfit(network: nn.Module, group: Group, by: str) -> str | None:
    if len(group) == 1:
        return "a single unit"
    missing = by == "gamma" and not gamma_slots(network, group)
    return "no norm with a γ behind it" if missing else None


def selection(
    network: nn.Module,
    groups: Sequence[Group],
    sizes: Mapping[Key, int],
    share: float,
    by: str,
    loss: Loss | None,
) -> list[tuple[Group, Nodes]]:
    """Return, for every group, 1 for each unit that stays and 0 for each that goes.

    Args:
        network: as it is now.
        groups: of the network as it is now.
        sizes: how many units each group had at first.
        share: of these, how many are to be gone.
        by: one of `CRITERIA`.
        loss: for `sensitivity`.
    """
    changes: list[tuple[Group, Nodes]] = []
    for pool in pools(groups, by):
        at_first = sum(sizes[group.key] for group in pool)
        count = at_first - gone(at_first, share)
        changes += zip(
            pool, _best([scores(network, g, by, loss) for g in pool], count), strict=True
        )
    return changes


def pools(groups: Sequence[Group], by: str) -> list[Sequence[Group]]:
    """Return the groups whose units are ranked together: magnitudes compare within a layer."""
    return [[group] for group in groups] if by == "magnitude" else [groups]


def gone(count: int, share: float) -> int:
    """Return how many units a share of them is; that of 0.3 of 10 is 3, whatever 0.3 * 10 is."""
    return int(count * share + 1e-9)


def _best(worth: Sequence[Scores], count: int) -> list[Nodes]:
    """Return 1 for the `count` units that are worth most, and for the best of each group."""
    best = [np.arange(len(its)) == its.argmax() for its in worth]
    order = np.lexsort((-np.concatenate(worth), ~np.concatenate(best)))
    kept = np.zeros(len(order), np.int64)
    kept[order[: max(count, len(worth))]] = 1
    return np.split(kept, np.cumsum([len(its) for its in worth])[:-1])
