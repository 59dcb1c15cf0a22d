"""Which elements of a tensor count: sums over them, and the others put back as they were.

Every pass over masked data is made of these. What is given as `room` may be overwritten.
"""

import math
from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from normwise.layers.transforms import followed

_INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}
_WIDE = 64  # features, from which on a row is moved faster than it is masked


class Validity:
    """All elements count; the base of those for which some do not."""

    def gathered(self, x: Tensor) -> "tuple[Tensor, Validity]":
        """Return what to take statistics of, and what counts in that."""
        return x, self

    def count(self, x: Tensor, dim: Sequence[int]) -> Tensor | int:
        """Return how many elements count in every unit."""
        return math.prod([x.shape[d] for d in dim])

    def sum(self, x: Tensor, dim: Sequence[int], room: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Return the sums over what counts."""
        return sum_over(x, dim)

    def put_back(self, y: Tensor, x: Tensor, room: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Return `y` where an element counts, and `x` elsewhere."""
        return y


class Elements(Validity):
    """Those count for which a mask is True.

    Args:
        mask: broadcasts to what is masked, and has its size in the dimensions to reduce.
    """

    def __init__(self, mask: Tensor) -> None:
        self._mask = mask
        self._bits: Tensor | None = None

    def count(self, x: Tensor, dim: Sequence[int]) -> Tensor:
        """Return how many elements count in every unit."""
        return sum_over(self._mask.to(x.dtype), dim)

    def sum(self, x: Tensor, dim: Sequence[int], room: Tensor | None = None) -> Tensor:
        """Return the sums over what counts, whatever the others are, NaN and infinities too."""
        if followed():
            return sum_over(torch.where(self._mask, x, 0), dim)
        return sum_over(self._kept(x, room), dim)

    def put_back(self, y: Tensor, x: Tensor, room: Tensor | None = None) -> Tensor:
        """Return `y` where an element counts, and `x` elsewhere."""
        if followed():
            return torch.where(self._mask, y, x)
        # A product with 0 is far faster than a selection, and leaves infinities alone.
        return self._kept(y, room).addcmul_(x, (~self._mask).to(y.dtype))

    def _kept(self, x: Tensor, room: Tensor | None) -> Tensor:
        """Zero what does not count; bits, as `torch.where` is not vectorised on the CPU."""
        if self._bits is None or self._bits.element_size() != x.element_size():
            self._bits = -self._mask.to(_INTEGERS[x.element_size()])
        integer = self._bits.dtype
        out = None if room is None else room.view(integer)
        return torch.bitwise_and(x.view(integer), self._bits, out=out).view(x.dtype)


class Rows(Elements):
    """Whole rows count or do not, so that those which do can be gathered.

    Args:
        mask: of rows, (1, B, 1), for what is (1, B, C).
    """

    @cached_property
    def _counting(self) -> Tensor:
        return self._mask.flatten().nonzero().flatten()

    def gathered(self, x: Tensor) -> tuple[Tensor, Validity]:
        """Return the rows that count."""
        return x.index_select(1, self._counting), Validity()

    def sum(self, x: Tensor, dim: Sequence[int], room: Tensor | None = None) -> Tensor:
        """Return the sums over the rows that count."""
        if room is None or room is x:
            return super().sum(x, dim, room)
        room = room[:, : len(self._counting)]
        return sum_over(torch.index_select(x, 1, self._counting, out=room), dim)


def validity(mask: Tensor | None, x: Tensor) -> Validity:
    """Return which elements of groups of samples count.

    Args:
        mask: False where they do not; broadcasts to `x`.
        x: the groups, (G, B, C, L) or (G, B, C).
    """
    if mask is None:
        return Validity()
    # How many rows there are is data, which nobody who follows could know, and a GPU not at once.
    rows = tuple(mask.shape) == (1, x.shape[1], 1) and x.ndim == 3 and x.shape[2] >= _WIDE
    known = type(mask) is Tensor and mask.device.type == "cpu" and not followed()
    return Rows(mask) if rows and known else Elements(mask)


def sum_over(x: Tensor, dim: Sequence[int]) -> Tensor:
    """Sum up, dimensions that lie side by side together and the last first, which is fastest."""
    if not dim:
        return x
    start = len(dim) - 1
    while start > 0 and dim[start - 1] == dim[start] - 1:
        start -= 1
    x = x.sum(tuple(dim[start:]), keepdim=True)
    return sum_over(x, dim[:start]) if start > 0 else x
