"""The order in which a run sees its training data."""

import torch
from torch import Tensor

from normwise.stack.seeding import derive

ORDERS = ("shuffled", "fixed", "sorted")


class Order:
    """Batches, epoch after epoch, the same for every run with this seed.

    `shuffled` draws new batches for every epoch. `fixed` keeps those of the first epoch: the same
    samples meet in every epoch, and only the turn of the batches is drawn anew. So does `sorted`,
    where the samples of a class meet.

    All batches are full, so batch statistics never come from a remainder and runs can be stacked:
    the few samples left at the end of an epoch wait for another shuffle, and where there is none
    they are left out.

    Args:
        samples: how many there are.
        batch_size: how many a batch holds; more than there are means all of them.
        seed: the run's.
        kind: one of `ORDERS`.
        labels: of all samples, for `sorted`, shape (samples,).

    Example:
        >>> order = Order(samples=10, batch_size=4, seed=0)
        >>> order.steps_per_epoch, order.next_epoch().shape
        (2, torch.Size([2, 4]))
    """

    def __init__(
        self,
        samples: int,
        batch_size: int,
        seed: int,
        kind: str = "shuffled",
        labels: Tensor | None = None,
    ) -> None:
        self.samples = samples
        self.batch_size = min(batch_size, samples)
        self.steps_per_epoch = samples // self.batch_size
        self._generator = torch.Generator().manual_seed(derive(seed, "order"))
        self._kept = None if kind == "shuffled" else self._shuffled()
        if kind == "sorted" and self._kept is not None and labels is not None:
            # Left out before they are sorted: the samples left over are then of all classes.
            used = self._kept.flatten()
            self._kept = used[labels[used].argsort(stable=True)].view_as(self._kept)

    def next_epoch(self) -> Tensor:
        """Return the next epoch's sample indices, shape `(steps_per_epoch, batch_size)`."""
        if self._kept is None:
            return self._shuffled()
        return self._kept[torch.randperm(self.steps_per_epoch, generator=self._generator)]

    def _shuffled(self) -> Tensor:
        shuffled = torch.randperm(self.samples, generator=self._generator)
        used = self.steps_per_epoch * self.batch_size
        return shuffled[:used].view(self.steps_per_epoch, self.batch_size)
