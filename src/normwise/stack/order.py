"""The order in which a run sees its training data."""

import torch
from torch import Tensor

from normwise.stack.seeding import derive


class Order:
    """Shuffled batches, epoch after epoch, the same for every run with this seed.

    All batches are full: the few samples left at the end of an epoch wait for another shuffle, so
    batch statistics never come from a remainder and runs can be stacked.

    Args:
        samples: how many there are.
        batch_size: how many a batch holds; more than there are means all of them.
        seed: the run's.

    Example:
        >>> order = Order(samples=10, batch_size=4, seed=0)
        >>> order.steps_per_epoch, order.next_epoch().shape
        (2, torch.Size([2, 4]))
    """

    def __init__(self, samples: int, batch_size: int, seed: int) -> None:
        self.samples = samples
        self.batch_size = min(batch_size, samples)
        self.steps_per_epoch = samples // self.batch_size
        self._generator = torch.Generator().manual_seed(derive(seed, "order"))

    def next_epoch(self) -> Tensor:
        """Return the next epoch's sample indices, shape `(steps_per_epoch, batch_size)`."""
        shuffled = torch.randperm(self.samples, generator=self._generator)
        used = self.steps_per_epoch * self.batch_size
        return shuffled[:used].view(self.steps_per_epoch, self.batch_size)
