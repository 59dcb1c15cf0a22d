"""Which positions along the axes of a network's tensors belong to one unit.

Every position along every axis of every parameter and buffer is a node. A pass through the network
joins nodes: position 3 of a convolution's weight with position 3 of its bias, of the norm behind
it, and of all that the next layers read from it. What is joined is one unit, and can only be
removed or copied as a whole. Node 0 stands for whatever has a fixed size, such as the batch.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Nodes = NDArray[np.int64]
Axes = tuple[Nodes, ...]
"""For each axis of a tensor, the node of each position."""

OF_FIXED_SIZE = (
    "has as many units as something of fixed size, such as the input, since a sum, a shared weight "
    "or a second use of the layer ties them together"
)


class Couplings:
    """Takes note of what is joined, fixed, and read by a weight.

    Args:
        shapes: of the parameters and buffers, by name.
    """

    def __init__(self, shapes: Mapping[str, Sequence[int]]) -> None:
        self.axes: dict[str, Axes] = {}
        self._count = 1
        self._pairs: list[Nodes] = [np.zeros((2, 1), np.int64)]
        self._fixed: dict[int, str] = {0: OF_FIXED_SIZE}
        self._read: set[int] = set()
        for name, shape in shapes.items():
            self.axes[name] = tuple(self._new(size) for size in shape)

    def _new(self, size: int) -> Nodes:
        self._count += size
        return np.arange(self._count - size, self._count)

    def join(self, one: Nodes, other: Nodes) -> None:
        """Let the units at equal positions be one; what meets a fixed size is fixed."""
        fixed = (one == 0) | (other == 0)
        self.fix(one[fixed], OF_FIXED_SIZE)
        self.fix(other[fixed], OF_FIXED_SIZE)
        apart = ~fixed & (one != other)
        self._pairs.append(np.stack([one[apart], other[apart]]))

    def fix(self, nodes: Nodes, reason: str) -> None:
        """Note that units cannot change in number, and why; the first specific reason counts."""
        for node in np.unique(nodes).tolist():
            if self._fixed.get(node, OF_FIXED_SIZE) == OF_FIXED_SIZE and node:
                self._fixed[node] = reason

    def read(self, nodes: Nodes) -> None:
        """Note the positions of a weight that a unit's value is multiplied by, and so ends at."""
        self._read.update(nodes.tolist())

    def is_read(self, nodes: Nodes) -> bool:
        """Whether a weight reads units here."""
        return not self._read.isdisjoint(nodes.tolist())

    def units(self) -> tuple[Nodes, dict[int, str]]:
        """Return the unit of every node, and for the units that are fixed the reason."""
        from scipy.sparse import coo_array  # both take long to import
        from scipy.sparse.csgraph import connected_components

        one, other = np.concatenate(self._pairs, axis=1)
        graph = coo_array((np.ones(len(one)), (one, other)), shape=(self._count, self._count))
        unit = connected_components(graph, directed=False)[1].astype(np.int64)
        reasons: dict[int, str] = {}
        for node, reason in self._fixed.items():
            if reasons.get(number := int(unit[node]), OF_FIXED_SIZE) == OF_FIXED_SIZE:
                reasons[number] = reason
        return unit, reasons


def is_live(nodes: Nodes) -> bool:
    """Whether the positions belong to units, and not to something of fixed size."""
    return bool(nodes.any())


def fixed_axes(shape: tuple[int, ...]) -> Axes:
    """Return the axes of a tensor in which there are no units."""
    return tuple(np.zeros(size, np.int64) for size in shape)
