"""Which unit of a layer meets which channel of a norm, wherever views stand between them.

Each unit gets a label; the labels are sent through the very operations that stand between, and
what arrives tells which unit is where. Labels are large random integers, so that a mean over
several units is never mistaken for a unit, while a mean over the positions of one unit is itself.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, fx
from torch.utils._pytree import tree_leaves

from normwise.edit.folding.operations import DROPOUTS, RESHAPES


class Labels:
    """Labels for the units of a layer or the channels of a norm.

    Args:
        count: how many units there are.
    """

    def __init__(self, count: int) -> None:
        random = torch.Generator().manual_seed(count)
        # Below 2^40, sums of up to 2^13 equal labels are exact in float64.
        steps = torch.randint(1, 1 << 20, (count,), generator=random, dtype=torch.int64)
        self._labels = steps.cumsum(0).double()

    def of(self, units: Tensor) -> Tensor:
        """Return the labels of units."""
        return self._labels[units]

    def read(self, labels: Tensor) -> Tensor | None:
        """Return the units behind labels, or None where one is no unit's."""
        index = torch.searchsorted(self._labels, labels.contiguous())
        index = index.clamp_(max=len(self._labels) - 1)
        return index if torch.equal(self._labels[index], labels) else None


def along(axis: int, shape: Sequence[int]) -> Tensor:
    """Return each element's place along an axis."""
    view = [1] * len(shape)
    view[axis] = -1
    return torch.arange(shape[axis]).view(view).expand(shape)


def carried(labels: Tensor, path: Sequence[fx.Node]) -> Tensor | None:
    """Send labels through operations, in order; None where one cannot be replayed."""
    for node in path:
        rest = node.args[1:]
        if node.target in RESHAPES:
            labels = labels.reshape(node.meta["shape"])
        elif node.target in DROPOUTS:
            continue
        elif any(isinstance(leaf, fx.Node) for leaf in tree_leaves((rest, dict(node.kwargs)))):
            return None
        else:
            assert callable(node.target)
            labels = node.target(labels.contiguous(), *rest, **node.kwargs)
    return labels


def partners(units: Tensor, channels: Tensor, count: int) -> Tensor | None:
    """Return each unit's channel, or None where a unit meets several or none.

    Args:
        units: index of the unit at every position.
        channels: index of the channel there.
        count: how many units there are.
    """
    units, channels = torch.broadcast_tensors(units, channels)
    found = torch.full((count,), -1)
    found[units.flatten()] = channels.flatten()
    whole = bool((found >= 0).all()) and torch.equal(found[units], channels)
    return found if whole else None
