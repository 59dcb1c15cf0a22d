"""Find the units of a network that can be removed or copied, and say why others cannot."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from torch import nn

from normwise.edit.units.couplings import Couplings, Nodes
from normwise.edit.units.following import follow
from normwise.edit.units.group import Group, Slot
from normwise.errors import UsageError
from normwise.trace import Call


@dataclass(frozen=True)
class Found:
    """What one look at a network showed.

    Attributes:
        groups: units that can be changed, in the order of the modules that make them.
        left: for every other module with a weight, by path, why its units stay as they are.
    """

    groups: tuple[Group, ...]
    left: dict[str, str]


def find_units(network: nn.Module, example: Call) -> Found:
    """Follow a network on an example and find its units.

    Raises:
        UsageError: it does not run on the example in both modes, or gives no tensors.
    """
    try:
        couplings = follow(network, example)
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(
            f"the network does not run on the example in training and evaluation mode: {error}. "
            "Give a batch of at least two inputs that it runs on"
        ) from error
    unit, fixed = couplings.units()
    weights = [name for name, parameter in network.named_parameters() if parameter.ndim > 1]
    groups = [
        Group(slots, reading, makers)
        for slots in _alike(couplings, unit, fixed)
        if (reading := _reading(couplings, slots)) and (makers := _makers(weights, slots, reading))
    ]
    groups.sort(key=lambda group: min(weights.index(slot.name) for slot in _made(weights, group)))
    return Found(tuple(groups), _left(couplings, unit, fixed, weights, groups))


def _alike(couplings: Couplings, unit: Nodes, fixed: dict[int, str]) -> list[dict[Slot, Nodes]]:
    """Return the units that are not fixed, those that lie in the same places together."""
    places: dict[int, dict[Slot, list[int]]] = defaultdict(dict)
    for name, axes in couplings.axes.items():
        for axis, nodes in enumerate(axes):
            for position, number in enumerate(unit[nodes].tolist()):
                if number not in fixed:
                    places[number].setdefault(Slot(name, axis), []).append(position)
    alike: dict[tuple[tuple[Slot, int], ...], list[dict[Slot, list[int]]]] = defaultdict(list)
    for slots in places.values():
        alike[tuple((slot, len(where)) for slot, where in slots.items())].append(slots)
    return [
        {slot: np.array([its[slot] for its in units]) for slot in units[0]}
        for units in alike.values()
    ]


def _reading(couplings: Couplings, slots: dict[Slot, Nodes]) -> frozenset[Slot]:
    return frozenset(
        slot
        for slot, positions in slots.items()
        if couplings.is_read(couplings.axes[slot.name][slot.axis][positions.ravel()])
    )


def _makers(
    weights: list[str], slots: dict[Slot, Nodes], reading: frozenset[Slot]
) -> tuple[str, ...]:
    names = [slot.name for slot in slots if slot not in reading and slot.name in weights]
    return tuple(dict.fromkeys(name.rpartition(".")[0] for name in names))


def _made(weights: list[str], group: Group) -> list[Slot]:
    return [slot for slot in group.slots.keys() - group.reading if slot.name in weights]


def _left(
    couplings: Couplings,
    unit: Nodes,
    fixed: dict[int, str],
    weights: list[str],
    groups: list[Group],
) -> dict[str, str]:
    made = {path for group in groups for path in group.makers}
    left: dict[str, str] = {}
    for name in weights:
        path = name.rpartition(".")[0]
        if path in made or path in left:
            continue
        nodes = [n for axis in couplings.axes[name] if not couplings.is_read(axis) for n in axis]
        reasons = [fixed[number] for number in unit[nodes].tolist() if number in fixed]
        left[path] = reasons[0] if reasons else "not used, or nothing reads its units"
    return left
