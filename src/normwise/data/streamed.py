"""Samples that do not fit where they are used, and are brought there batch by batch."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from normwise.data.ahead import ahead
from normwise.data.reading import PIECE, Rows, Task
from normwise.data.split import Device, Split, add_tensor
from normwise.samples import each, like, tensors

_ROWS = 64  # samples that are asked for together where they are kept


class Source(Protocol):
    """Where streamed samples are.

    Example:
        >>> source: Source = Held([torch.arange(8.0)[:, None]])
        >>> [task] = source.fetch([[torch.tensor([2, 5])]], pinned=False, at_once=True)
        >>> task()[0].flatten().tolist()
        [2.0, 5.0]
    """

    @property
    def sample_bytes(self) -> int:
        """Bytes of a sample."""
        ...

    @property
    def example(self) -> list[Tensor]:
        """A tensor for each input, of the right dtype and shape from dimension 1 on."""
        ...

    def fetch(self, rows: Iterable[Rows], pinned: bool, at_once: bool) -> Iterator[Task]:
        """Yield what brings the samples of each list of rows, joined, in memory of the CPU.

        What is yielded may be called by another thread, in turn.

        Args:
            rows: numbers of samples. More of them are taken than are needed next.
            pinned: whether the memory is to be pinned.
            at_once: whether little is asked for, for which it does not pay to look ahead.
        """
        ...

    def cast(self, dtype: torch.dtype) -> "Source":
        """Return a source whose floats have another dtype."""
        ...

    @property
    def steady(self) -> bool:
        """Whether a sample is the same whenever it is fetched."""
        ...

    def update(self, digest: Any, rows: Tensor) -> None:
        """Put what is known of these samples into a digest, without reading from a disk."""
        ...


@dataclass(frozen=True)
class Held:
    """Samples in memory of the CPU, too many for the device.

    Attributes:
        parts: of the samples, input by input.
    """

    parts: list[Tensor]

    @property
    def sample_bytes(self) -> int:
        """Bytes of a sample."""
        return sum(part[:1].nbytes for part in self.parts)

    @property
    def example(self) -> list[Tensor]:
        """The samples."""
        return self.parts

    def fetch(self, rows: Iterable[Rows], pinned: bool, at_once: bool) -> Iterator[Task]:
        """Yield what gathers the samples of each list of rows."""
        del at_once
        return (partial(self._gathered, torch.cat(numbers), pinned) for numbers in rows)

    def cast(self, dtype: torch.dtype) -> "Held":
        """Return a source whose floats have another dtype."""
        return Held([part.to(dtype) if part.is_floating_point() else part for part in self.parts])

    @property
    def steady(self) -> bool:
        """They stay as they are."""
        return True

    def update(self, digest: Any, rows: Tensor) -> None:
        """Put the samples into a digest, as if they were not streamed."""
        for part in self.parts:
            add_tensor(digest, part[rows])

    def _gathered(self, numbers: Tensor, pinned: bool) -> list[Tensor]:
        return [_gathered(part, numbers, pinned) for part in self.parts]


@dataclass(frozen=True, eq=False, repr=False)
class Streamed(Split):
    """A split whose samples are not on the device: `x` has their shapes and dtypes, no values.

    Attributes:
        x: empty of values: shapes and dtypes of the samples.
        y: the targets, in memory, as in every split.
        source: where the samples are.
        rows: the number in the source of every sample here, on the CPU.
        place: the device where they are used.
        kept: the first of the samples, input by input, in memory of the CPU: they need not be
            fetched from the source.

    Example:
        >>> split = streamed(Split(torch.arange(8.0)[:, None], torch.arange(8)))
        >>> split, split[2:4].x.flatten().tolist()
        (Streamed(8 samples of 1 float32), [2.0, 3.0])
    """

    source: Source
    rows: Tensor
    place: torch.device
    kept: list[Tensor] = field(default_factory=list)

    def __repr__(self) -> str:
        return super().__repr__().replace("Split", "Streamed", 1)

    def __getitem__(self, rows: slice | Tensor) -> Split:
        """Return some of the samples with their targets, on the device."""
        numbers = torch.arange(len(self))[rows.cpu() if isinstance(rows, Tensor) else rows]
        if not len(numbers):
            empty = [torch.empty_like(part[:0], device=self.place) for part in tensors(self.x)]
            return Split(like(self.x, empty), each(self.y, lambda y: y[:0]))
        [part] = self.gather([numbers], at_once=True)
        return part

    @property
    def device(self) -> torch.device:
        """Where the samples are used."""
        return self.place

    @property
    def sample_bytes(self) -> int:
        """Bytes of all samples, were they in memory."""
        return len(self) * self.source.sample_bytes

    def gather(self, batches: Iterable[Tensor], at_once: bool = False) -> Iterator[Split]:
        """Yield batches of samples, on the device.

        Args:
            batches: the numbers of the samples of each, on the CPU, shape (samples,). More of them
                are taken than are needed next.
            at_once: whether they are few, for which it does not pay to look ahead.
        """
        cuda = self.place.type == "cuda"
        limit = max(1, PIECE // max(1, self.source.sample_bytes))
        segments: deque[int] = deque()  # in how many each batch is
        taken: deque[Rows] = deque()  # the pieces, each of one segment or several
        pieces = _pieces(_segments(batches, limit, segments), limit, taken)
        got: list[list[Tensor]] = []
        tasks = self._fetched(pieces, cuda, at_once)
        for found in (task() for task in tasks) if at_once else ahead(tasks):
            piece = taken.popleft()
            rows = torch.cat(piece).to(self.place)
            whole = [part.to(self.place, non_blocking=cuda) for part in found]
            whole += [y[rows] for y in tensors(self.y)]
            lengths = [len(segment) for segment in piece]
            for segment in zip(*(part.split(lengths) for part in whole), strict=True):
                got.append(list(segment))
                if len(got) == segments[0]:
                    segments.popleft()
                    yield self._batch(got)
                    got = []

    def _fetched(self, pieces: Iterable[Rows], pinned: bool, at_once: bool) -> Iterator[Task]:
        """Yield what brings the samples of each piece, joined, in memory of the CPU."""
        kept = len(self.kept[0]) if self.kept else 0
        if kept == len(self):
            return Held(self.kept).fetch(pieces, pinned, at_once)
        asked: deque[Tensor] = deque()

        def others() -> Iterator[Rows]:
            for piece in pieces:
                numbers = torch.cat(piece)
                asked.append(numbers)
                rows = self.rows[numbers[numbers >= kept]]
                # Where some are kept no sample is random, and may be read together with any others.
                yield [rows] if kept else [*rows.split([len(part) for part in piece])]

        tasks = self.source.fetch(others(), pinned and not kept, at_once)
        if not kept:
            return tasks
        return (partial(_joined, self.kept, find, asked.popleft(), pinned) for find in tasks)

    def _batch(self, segments: list[list[Tensor]]) -> Split:
        parts = [p[0] if len(p) == 1 else torch.cat(p) for p in zip(*segments, strict=True)]
        inputs = len(tensors(self.x))
        return Split(like(self.x, parts[:inputs]), like(self.y, parts[inputs:]))

    def parts(self, rows: int) -> Iterator[Split]:
        """Yield all samples in order, `rows` at a time."""
        if self.kept and len(self.kept[0]) == len(self) and self.place.type == "cpu":
            return Split(like(self.x, self.kept), self.y).parts(rows)  # as they are, not gathered
        return self.gather(torch.arange(len(self)).split(rows)) if len(self) else iter(())

    def cast(self, dtype: torch.dtype) -> "Streamed":
        """Return the split with every tensor of floats in another dtype."""
        y = Split(self.y, self.y).cast(dtype).y
        source = self.source.cast(dtype)
        x = like(self.x, outlines(source, len(self)))
        # No more memory than before.
        fewer = sum(part.nbytes for part in self.kept) // source.sample_bytes
        kept = Held([part[:fewer] for part in self.kept]).cast(dtype).parts
        return replace(self, x=x, y=y, source=source, kept=kept)

    def keeping(self, memory: int) -> "Streamed":
        """Return the split with as many of its samples in memory as fit.

        Args:
            memory: bytes that they may take.
        """
        count = min(len(self), memory // self.source.sample_bytes) if self.source.steady else 0
        if not count:
            return self
        kept = [part.new_empty(count, *part.shape[1:]) for part in self.source.example]
        start = 0
        for found in self.gather(torch.arange(count).split(_ROWS)):
            for whole, part in zip(kept, tensors(found.x), strict=True):
                whole[start : start + len(part)] = part
            start += len(found)
        return replace(self, kept=kept)

    def update(self, digest: Any) -> None:
        """Put all that is known of the samples into a digest, and their targets."""
        self.source.update(digest, self.rows)
        for tensor in tensors(self.y):
            add_tensor(digest, tensor)

    def ranges(self) -> list[tuple[float, float] | None]:
        """Return None for every input."""
        return [None for _ in tensors(self.x)]

    def to(self, device: Device) -> "Streamed":
        """Return the split for use on a device."""
        y = each(self.y, lambda tensor: tensor.to(device))
        return replace(self, y=y, place=torch.device(device))


def streamed(split: Split) -> Streamed:
    """Return a split that stays in memory of the CPU and is moved batch by batch."""
    if isinstance(split, Streamed):
        return split
    held = Held([part.cpu() for part in tensors(split.x)])
    x = like(split.x, outlines(held, len(split)))
    return Streamed(x, split.y, held, torch.arange(len(split)), split.device)


def _gathered(part: Tensor, numbers: Tensor, pinned: bool) -> Tensor:
    shape = len(numbers), *part.shape[1:]
    out = torch.empty(shape, dtype=part.dtype, pin_memory=pinned)
    return torch.index_select(part, 0, numbers, out=out)


def _joined(kept: list[Tensor], find: Task, numbers: Tensor, pinned: bool) -> list[Tensor]:
    """Put samples that are kept, and others in their order, together by their numbers."""
    here = numbers < len(kept[0])
    others = (~here).nonzero()[:, 0]
    stand_ins = numbers.where(here, 0)  # one gather of whatever is in the places of the others
    joined = []
    for ours, theirs in zip(kept, find(), strict=True):
        joined.append(_gathered(ours, stand_ins, pinned).index_copy_(0, others, theirs))
    return joined


def outlines(source: Source, samples: int) -> list[Tensor]:
    """Return tensors without values, for each input, as if so many samples were there."""
    return [
        torch.empty((samples, *part.shape[1:]), dtype=part.dtype, device="meta")
        for part in source.example
    ]


def _segments(batches: Iterable[Tensor], limit: int, counts: deque[int]) -> Iterator[Tensor]:
    """Cut batches that are larger than a piece; note in how many segments each is."""
    for numbers in batches:
        parts = numbers.split(limit) if len(numbers) > limit else (numbers,)
        counts.append(len(parts))
        yield from parts


def _pieces(segments: Iterable[Tensor], limit: int, taken: deque[Rows]) -> Iterator[Rows]:
    """Put small segments together, as many as are fetched in one go; note what was taken."""
    piece: Rows = []
    room = limit
    for segment in segments:
        if piece and len(segment) > room:
            taken.append(piece)
            yield piece
            piece, room = [], limit
        piece.append(segment)
        room -= len(segment)
    if piece:
        taken.append(piece)
        yield piece
