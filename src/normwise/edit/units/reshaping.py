"""Where units lie after a reshape."""

import math
from collections.abc import Iterator

import numpy as np

from normwise.edit.units.couplings import Axes, Couplings, Nodes, fixed_axes, is_live

Shape = tuple[int, ...]


def reshaped(couplings: Couplings, axes: Axes, shape: Shape, name: str) -> Axes:
    """Return the axes of a tensor after it was reshaped, and fix the units that it tears apart.

    Merging a channel axis with positions, as a flatten does, gives each channel several places on
    the new axis. An axis may be split where the units lie along one of its parts, as when a
    flatten is undone; the heads of attention cut through units that were one axis.
    """
    sizes = tuple(len(nodes) for nodes in axes)
    if sizes == shape:
        return axes
    result = list(fixed_axes(shape))
    for before, after in _segments(sizes, shape):
        merged = _merged(couplings, [axes[axis] for axis in before], name)
        place = _place(merged.reshape([shape[axis] for axis in after]))
        if place is None:
            couplings.fix(merged, f"split over several axes by {name}")
        elif is_live(merged):
            result[after[place[0]]] = place[1]
    for nodes in axes:
        if len(nodes) == 1:
            couplings.fix(nodes, f"a single unit, hidden by {name}")
    return tuple(result)


def _segments(before: Shape, after: Shape) -> Iterator[tuple[list[int], list[int]]]:
    """Yield the axes that a reshape makes of which axes, in the smallest pieces there are."""
    left = [axis for axis, size in enumerate(before) if size != 1]
    right = [axis for axis, size in enumerate(after) if size != 1]
    while left and right:
        ours, theirs = [left.pop(0)], [right.pop(0)]
        while (a := math.prod(before[i] for i in ours)) != (
            b := math.prod(after[i] for i in theirs)
        ):
            (ours if a < b else theirs).append((left if a < b else right).pop(0))
        yield ours, theirs


def _merged(couplings: Couplings, parts: list[Nodes], name: str) -> Nodes:
    live = [axis for axis, nodes in enumerate(parts) if is_live(nodes)]
    if len(live) > 1:
        for nodes in parts:
            couplings.fix(nodes, f"merged with other units by {name}")
    shape = [len(nodes) for nodes in parts]
    if len(live) != 1:
        return np.zeros(math.prod(shape), np.int64)
    along = [-1 if axis == live[0] else 1 for axis in range(len(parts))]
    return np.broadcast_to(parts[live[0]].reshape(along), shape).reshape(-1)


def _place(nodes: Nodes) -> tuple[int, Nodes] | None:
    """Return the axis along which alone units differ, and the units along it."""
    for axis in range(nodes.ndim):
        lines = np.moveaxis(nodes, axis, 0).reshape(nodes.shape[axis], -1)
        if (lines == lines[:, :1]).all():
            return axis, lines[:, 0]
    return None
