"""Columns that meet lists: (N, 1) with (N,), which makes (N, N) of what was meant one by one."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from normwise.evidence.place import caller
from normwise.evidence.private import is_transformed

COMBINING = {
    getattr(holder, name): name.strip("_")
    for name in (
        *("sub", "mul", "div", "eq", "ne", "lt", "le", "gt", "ge"),
        *("__sub__", "__rsub__", "__mul__", "__rmul__", "__truediv__", "__rtruediv__"),
        *("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"),
    )
    for holder in (torch, Tensor)
    if hasattr(holder, name)
}
_COMPARISONS = frozenset({"eq", "ne", "lt", "le", "gt", "ge"})
_MOST = 32


@dataclass(frozen=True)
class Broadcast:
    """Calls of a function, outside all modules, that made a matrix of two lists of one length.

    Left out is what is meant to pair all with all: a tensor with itself, as in the masks of
    contrastive losses, and two lists of scores of which both or none need a gradient, as in
    ranking. A prediction needs one and a target does not; comparisons have none either way.

    Attributes:
        name: of the function, such as `sub` or `eq`.
        place: `file.py:12`, the user's line.
        shapes: of the two tensors, such as (64, 1) and (64,).
        count: how often.

    Example:
        >>> Broadcast("sub", "train.py:12", ((64, 1), (64,)), 3).count
        3
    """

    name: str
    place: str
    shapes: tuple[tuple[int, ...], tuple[int, ...]]
    count: int = 0


class BroadcastsMeter:
    """Counts broadcasts by place."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], Broadcast] = {}

    def add(self, name: str, left: object, right: object) -> None:
        """Note a call if its two tensors are a column and a list of the same length."""
        if not isinstance(left, Tensor) or not isinstance(right, Tensor):
            return
        long, short = (left, right) if left.ndim > right.ndim else (right, left)
        if long.ndim != 2 or short.ndim != 1 or long.shape != (len(short), 1) or len(short) < 2:
            return
        if _is_meant(name, left, right):
            return
        key = name, caller()
        if key in self._found or len(self._found) < _MOST:
            shapes = tuple(left.shape), tuple(right.shape)
            found = self._found.get(key, Broadcast(*key, shapes))
            self._found[key] = replace(found, shapes=shapes, count=found.count + 1)

    def result(self) -> tuple[Broadcast, ...]:
        """Return what was found, by place."""
        return tuple(self._found.values())


def _is_meant(name: str, left: Tensor, right: Tensor) -> bool:
    if is_transformed(left) or is_transformed(right):
        return True  # their storage must not be asked for
    if left.untyped_storage().data_ptr() == right.untyped_storage().data_ptr():
        return True
    return name not in _COMPARISONS and left.requires_grad == right.requires_grad
