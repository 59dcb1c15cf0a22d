"""Where the batches of a training come from."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Protocol

import torch
from torch import Tensor

from normwise.data import Split, Streamed
from normwise.samples import like, tensors


class Feed(Protocol):
    """Gathers samples into batches.

    Example:
        >>> feed: Feed = Resident(Split(torch.arange(6.0)[:, None], torch.arange(6)))
        >>> [batch] = feed.batches([torch.tensor([[0, 1], [4, 5]])])
        >>> batch.y.tolist()
        [[0, 1], [4, 5]]
    """

    @property
    def place(self) -> torch.device:
        """The device where numbers of samples are wanted."""
        ...

    def batches(self, rows: Iterable[Tensor]) -> Iterator[Split]:
        """Yield the samples with these numbers, on the device.

        Args:
            rows: for every step the numbers of the samples, shape (batches, samples), at `place`.

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

    def batches(self, rows: Iterable[Tensor]) -> Iterator[Split]:
        """Yield the samples with these numbers."""
        split = self._split
        sources = [*tensors(split.x), *tensors(split.y)]
        shape, gathered, seen = torch.Size(), [], split
        for numbers in rows:
            if numbers.shape != shape:
                # Into the same memory every time: fresh pages cost more than the copy.
                shape = numbers.shape
                gathered = [
                    source.new_empty(shape.numel(), *source.shape[1:]) for source in sources
                ]
                parts = [out.unflatten(0, tuple(shape)) for out in gathered]
                inputs = len(tensors(split.x))
                seen = Split(like(split.x, parts[:inputs]), like(split.y, parts[inputs:]))  # type: ignore
            batch = numbers.flatten()
            for source, out in zip(sources, gathered, strict=True):
                torch.index_select(source, 0, batch, out=out)
            yield seen


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

    def batches(self, rows: Iterable[Tensor]) -> Iterator[Split]:
        """Yield the samples with these numbers."""
        shapes: deque[tuple[int, ...]] = deque()

        def flat() -> Iterator[Tensor]:
            for numbers in rows:
                shapes.append(tuple(numbers.shape))
                yield numbers.flatten()

        for batch in self._split.gather(flat()):
            shape = shapes.popleft()
            yield batch.each(lambda tensor, shape=shape: tensor.unflatten(0, shape))


def feed_of(split: Split) -> Feed:
    """Return what brings the batches of a split.

    Example:
        >>> type(feed_of(Split(torch.zeros(2, 1), torch.zeros(2)))).__name__
        'Resident'
    """
    return Streaming(split) if isinstance(split, Streamed) else Resident(split)
