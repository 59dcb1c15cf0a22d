"""Which elements of a tensor count: sums over them, and the others put back as they were.

Every pass over masked data is made of these. What is given as `room` may be overwritten.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from normwise.layers.transforms import followed

_INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}
LONGEST = 4096
"""How many values can be summed up one after another, as exactly as in halves, nearly."""


class Validity:
    """All elements count; the base of those for which some do not.

    Attributes:
        clean: whether what does not count is finite and of moderate size, so that a product with 0
            takes it away.
    """

    clean = True

    def count(self, x: Tensor, dim: Sequence[int]) -> Tensor | int:
        """Return how many elements count in every unit."""
        return math.prod([x.shape[d] for d in dim])

    def sum(
        self,
        x: Tensor,
        dim: Sequence[int],
        room: Tensor | None = None,
        *,
        exact: bool = False,  # noqa: ARG002
    ) -> Tensor:
        """Return the sums over what counts, whatever the others are, NaN and infinities too.

        Args:
            x: what is summed up.
            dim: over which dimensions, in rising order.
            room: of the shape of `x`; is overwritten.
            exact: whether the sums are large beside their spread, so that digits must not be lost.
        """
        return sum_over(self._kept(x, room), dim)

    def put_back(self, y: Tensor, x: Tensor, room: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Return `y` where an element counts, and `x` elsewhere."""
        return y

    def _kept(self, x: Tensor, room: Tensor | None) -> Tensor:  # noqa: ARG002
        """Return `x`, and 0 for what does not count."""
        return x


class Elements(Validity):
    """Those count for which a mask is True.

    Args:
        mask: broadcasts to what is masked, and has its size in the dimensions to reduce.
    """

    clean = False

    def __init__(self, mask: Tensor) -> None:
        self._mask = mask

    def count(self, x: Tensor, dim: Sequence[int]) -> Tensor | int:
        """Return how many elements count in every unit."""
        return sum_over(self._mask.to(x.dtype), dim)

    def put_back(self, y: Tensor, x: Tensor, room: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Return `y` where an element counts, and `x` elsewhere."""
        return torch.where(self._mask, y, x)

    def _kept(self, x: Tensor, room: Tensor | None) -> Tensor:  # noqa: ARG002
        """Return `x`, and 0 for what does not count."""
        return torch.where(self._mask, x, 0)


class OnProcessor(Elements):
    """The same where numbers can be looked at: `torch.where` is slow on the CPU.

    Args:
        mask: as for `Elements`.
        clean: whether to expect clean numbers, until sums say otherwise.
    """

    def __init__(self, mask: Tensor, *, clean: bool) -> None:
        super().__init__(mask)
        self.clean = clean
        self._weight: Tensor | None = None
        self._bits: Tensor | None = None

    def count(self, x: Tensor, dim: Sequence[int]) -> Tensor | int:
        """Return a number where there is one for all units."""
        if self._mask.numel() == super(Elements, self).count(x, dim):
            return int(self._mask.count_nonzero())
        return super().count(x, dim)

    def sum(
        self,
        x: Tensor,
        dim: Sequence[int],
        room: Tensor | None = None,
        *,
        exact: bool = False,
    ) -> Tensor:
        """Return the sums, by a matrix product where that is exact enough."""
        if self.clean and self._fits(x, dim) and not (exact and self._is_long(x)):
            total = self._product(x)
            if math.isfinite(total.sum()):
                return total
            self.clean = False
        return super().sum(x, dim, room)

    def put_back(self, y: Tensor, x: Tensor, room: Tensor | None = None) -> Tensor:
        """Return `y` where an element counts, and `x` elsewhere."""
        if self.clean:
            return torch.lerp(x, y, self._as_weight(x), out=room)  # one of both, to the bit
        return self._kept(y, room).addcmul_(x, 1 - self._as_weight(x))  # leaves infinities alone

    def _fits(self, x: Tensor, dim: Sequence[int]) -> bool:
        """Whether channels share the mask of groups, (G, B, C, L) or (G, B, C)."""
        groups = tuple(dim) == ((1, 3) if x.ndim == 4 else (1,)) and x.ndim in (3, 4)
        return groups and self._mask.ndim == x.ndim and self._mask.shape[2] == 1

    def _is_long(self, x: Tensor) -> bool:
        return x.shape[1 if x.ndim == 3 else 3] > LONGEST

    def _product(self, x: Tensor) -> Tensor:
        weight = self._as_weight(x)
        if x.ndim == 3:
            return _bmm(weight.mT, x)
        products = _bmm(x.flatten(0, 1), weight.flatten(0, 1).mT)
        return products.view(*x.shape[:3], 1).sum(1, keepdim=True)

    def _as_weight(self, x: Tensor) -> Tensor:
        if self._weight is None:
            self._weight = self._mask.to(x.dtype)
        return self._weight

    def _kept(self, x: Tensor, room: Tensor | None) -> Tensor:
        """Return `x`, and 0 for what does not count."""
        integer = _INTEGERS[x.element_size()]
        if self._bits is None:
            self._bits = -self._mask.to(integer)
        out = None if room is None else room.view(integer)
        return torch.bitwise_and(x.view(integer), self._bits, out=out).view(x.dtype)


def validity(mask: Tensor | None, *, clean: bool = True) -> Validity:
    """Return which elements of groups of samples count.

    Args:
        mask: False where they do not; broadcasts to groups, (G, B, C, L) or (G, B, C).
        clean: whether what does not count may be finite.
    """
    if mask is None:
        return Validity()
    # Whoever follows does not know the numbers, and a GPU not at once.
    known = type(mask) is Tensor and mask.device.type == "cpu" and not followed()
    return OnProcessor(mask, clean=clean) if known else Elements(mask)


def _bmm(a: Tensor, b: Tensor) -> Tensor:
    """Return the matrix products in full precision: autocast does not know this form."""
    return torch.bmm(a, b, out=b.new_empty(len(a), a.shape[1], b.shape[2]))


def sum_over(x: Tensor, dim: Sequence[int]) -> Tensor:
    """Sum up, dimensions that lie side by side together and the last first, which is fastest."""
    if not dim:
        return x
    start = len(dim) - 1
    while start > 0 and dim[start - 1] == dim[start] - 1:
        start -= 1
    x = x.sum(tuple(dim[start:]), keepdim=True)
    return sum_over(x, dim[:start]) if start > 0 else x
