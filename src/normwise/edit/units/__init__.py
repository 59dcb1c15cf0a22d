"""The units of a network: which belong together, and networks with fewer or more of them."""

from normwise.edit.units.choosing import chosen, none_left
from normwise.edit.units.couplings import Nodes
from normwise.edit.units.finding import Found, find_units
from normwise.edit.units.group import Group, Slot
from normwise.edit.units.proof import Proof
from normwise.edit.units.resizing import Resizing
from normwise.edit.units.running import quiet, tensors_in
from normwise.edit.units.silencing import silence
from normwise.edit.units.sizes import check_shapes, tensors_of
from normwise.edit.units.snapshot import Snapshot
from normwise.edit.units.telling import told

__all__ = [
    "Found",
    "Group",
    "Nodes",
    "Proof",
    "Resizing",
    "Slot",
    "Snapshot",
    "check_shapes",
    "chosen",
    "find_units",
    "none_left",
    "quiet",
    "silence",
    "tensors_in",
    "tensors_of",
    "told",
]
