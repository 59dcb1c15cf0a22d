"""Gradients of many runs, gathered over several batches for one step of their optimizer."""

from collections.abc import Sequence

from torch import Tensor

from normwise.stack.products import Gradient, Product


class Accumulation:
    """Averages the gradients of so many batches.

    Args:
        batches: how many make a step.

    Example:
        >>> import torch
        >>> gathered = Accumulation(2)
        >>> gathered.add([torch.tensor([1.0])]), gathered.add([torch.tensor([3.0])])
        (None, [tensor([2.])])
    """

    def __init__(self, batches: int) -> None:
        self._batches, self._count = batches, 0
        self._sums: list[Tensor | None] = []

    def add(self, gradients: Sequence[Gradient]) -> Sequence[Gradient] | None:
        """Add the gradients of a batch; return the mean where that was the last one of a step."""
        if self._batches == 1:
            return gradients
        whole = [g.value() if isinstance(g, Product) else g for g in gradients]
        self._sums = list(map(_plus, self._sums or [None] * len(whole), whole))
        self._count += 1
        if self._count < self._batches:
            return None
        means = [None if total is None else total / self._batches for total in self._sums]
        self._sums, self._count = [], 0
        return means

    def keep(self, runs: Sequence[int]) -> None:
        """Go on with these runs only."""
        self._sums = [None if total is None else total[list(runs)] for total in self._sums]


def _plus(total: Tensor | None, gradient: Tensor | None) -> Tensor | None:
    if total is None or gradient is None:
        return gradient if total is None else total
    return total + gradient
