"""Units that are alike, and where each of them lies."""

from dataclasses import dataclass
from typing import NamedTuple

from normwise.edit.units.couplings import Nodes


class Slot(NamedTuple):
    """One axis of one parameter or buffer."""

    name: str
    axis: int


@dataclass(frozen=True)
class Group:
    """Units that can be removed or copied one by one.

    Attributes:
        slots: where the units lie: for each axis an array of shape (units, positions per unit).
            Most have one position; a channel behind a flatten has many.
        reading: the slots that multiply a unit's value by a weight, and so end it: zeros there
            are as if the unit were zero.
        makers: paths of the modules whose weights make the units.
    """

    slots: dict[Slot, Nodes]
    reading: frozenset[Slot]
    makers: tuple[str, ...]

    @property
    def name(self) -> str:
        """What it is called: the modules that make it."""
        return ", ".join(path or "(the network)" for path in self.makers)

    @property
    def key(self) -> frozenset[Slot]:
        """What stays the same when units come or go."""
        return frozenset(self.slots)

    def width(self, path: str) -> int:
        """Return how many features or channels of a module that makes the units are one unit.

        More than one where they go together, as the channels of one group of a group norm do.
        """
        prefix = f"{path}." if path else ""
        made = (slot for slot in self.slots if slot not in self.reading)
        return min(self.slots[slot].shape[1] for slot in made if slot.name.startswith(prefix))

    def __len__(self) -> int:
        return len(next(iter(self.slots.values())))
