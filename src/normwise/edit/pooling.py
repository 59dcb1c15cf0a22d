"""Mean and variance of values that come in parts."""

from collections.abc import Sequence

import torch
from torch import Tensor

_MOST_HELD = 2**16  # values, before parts are joined

Part = tuple[int, Tensor, Tensor]
"""How many values there are, their mean, and their variance, divided by their number."""


def joined(parts: Sequence[Part]) -> Part:
    """Join parts in float64, every value counted alike.

    By Chan's rule: the variances within the parts plus that of their means (Chan, Golub & LeVeque
    1983, eq. 2.1). A single part is returned as it is, and so is the first of several that have no
    values.
    """
    count = sum(count for count, _, _ in parts)
    if len(parts) == 1 or not count:
        return parts[0]
    counts, means, variances = zip(*parts, strict=True)
    each, within = torch.stack(means), torch.stack(variances).double()
    each = each.to(torch.complex128 if each.is_complex() else torch.float64)
    share = torch.tensor(counts, dtype=torch.float64, device=each.device) / count
    share = share.view(-1, *[1] * (each.ndim - 1))
    mean = (share * each).sum(0)
    return count, mean, (share * (within + (each - mean).abs().square())).sum(0)


class Pool:
    """Joins parts as they come, many at a time.

    Example:
        >>> pool = Pool()
        >>> pool.add((2, torch.tensor([1.0]), torch.tensor([0.0])))
        >>> pool.add((2, torch.tensor([3.0]), torch.tensor([0.0])))
        >>> pool.joined()
        (4, tensor([2.], dtype=torch.float64), tensor([1.], dtype=torch.float64))
    """

    def __init__(self) -> None:
        self._parts: list[Part] = []

    def add(self, part: Part) -> None:
        """Take in a part."""
        self._parts.append(part)
        if len(self._parts) * part[1].numel() > _MOST_HELD:
            self.joined()

    def joined(self) -> Part:
        """Return the whole."""
        if len(self._parts) > 1:
            self._parts = [joined(self._parts)]
        return self._parts[0]
