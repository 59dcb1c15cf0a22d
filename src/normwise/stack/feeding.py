"""Where the batches of a training come from."""

from collections.abc import Iterable, Iterator
from typing import Protocol

import torch
from torch import Tensor

from normwise.data import Split, Streamed
from normwise.samples import tensors


class Feed(Protocol):
    """Gathers samples into batches.

    Example:
        >>> feed: Feed = Resident(Split(torch.arange(6.0)[:, None], torch.arange(6)))
        >>> [batch] = feed.batches([torch.tensor([0, 1, 4, 5])], samples=2)
        >>> batch.y.tolist()
        [[0, 1], [4, 5]]
    """

    @property
    def place(self) -> torch.device:
        """The device where numbers of samples are wanted."""
        ...

    def batches(self, rows: Iterable[Tensor], samples: int) -> Iterator[Split]:
        """Yield the samples with these numbers, on the device.

        Args:
            rows: for every step the numbers of the samples, batch after batch, at `place`.
            samples: in a batch.

        Yields:
            Tensors of shape (batches, samples, ...), which the next step may overwrite.
        """
        ...


class Resident:
    """Samples that are on the device as a whole.

    Args:
        split: the samples.
    """

    def __init__(self, split: Split) -> None:
        self._split = split

    @property
    def place(self) -> torch.device:
        """The device of the samples."""
        return self._split.device

    def batches(self, rows: Iterable[Tensor], samples: int) -> Iterator[Split]:
        """Yield the samples with these numbers."""
        sources = [*tensors(self._split.x), *tensors(self._split.y)]
        count, gathered, batches = 0, [], self._split
        for numbers in rows:
            if len(numbers) != count:
                # Into the same memory every time: fresh pages cost more than the copy.
                count = len(numbers)
                into = self._split.each(lambda t, n=count: t.new_empty(n, *t.shape[1:]))
                gathered = [*tensors(into.x), *tensors(into.y)]
                batches = _in_batches(into, samples)
            for source, out in zip(sources, gathered, strict=True):
                torch.index_select(source, 0, numbers, out=out)
            yield batches


class Streaming:
    """Samples that are brought to the device a few steps ahead.

    Numbers are therefore taken ahead as well: they must not depend on how the training goes.

    Args:
        split: the samples.
    """

    def __init__(self, split: Streamed) -> None:
        self._split = split

    @property
    def place(self) -> torch.device:
        """The CPU, where samples are gathered."""
        return torch.device("cpu")

    def batches(self, rows: Iterable[Tensor], samples: int) -> Iterator[Split]:
        """Yield the samples with these numbers."""
        return (_in_batches(found, samples) for found in self._split.gather(rows))


def _in_batches(found: Split, samples: int) -> Split:
    return found.each(lambda tensor: tensor.unflatten(0, (-1, samples)))


def feed_of(split: Split) -> Feed:
    """Return what brings the batches of a split.

    Example:
        >>> type(feed_of(Split(torch.zeros(2, 1), torch.zeros(2)))).__name__
        'Resident'
    """
    return Streaming(split) if isinstance(split, Streamed) else Resident(split)
