"""A map-style dataset that does not fit in memory, read by torch's DataLoader."""

import hashlib
import math
import random
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import joblib
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from normwise.data.arrays import as_array, read_samples
from normwise.data.column import Column
from normwise.data.joining import check_shape, join_parts, read_pairs
from normwise.data.parts import Parts
from normwise.data.standardize import Scale
from normwise.errors import UsageError

_MOST_READERS = 4
_PASSING = 0.02  # seconds that it takes, or nearly, to pass a piece from one process to another
Rows = list[Tensor]  # numbers of samples that are read in one go, part by part
Task = Callable[[], list[Tensor]]  # brings samples, input by input


@dataclass(frozen=True)
class Reading:
    """Brings the samples of a dataset, prepared for the network.

    Random numbers that the dataset draws depend on the numbers of the samples that are read
    together, and on nothing else: not on the workers, nor on what was read before. The states of
    the random generators stay as they were.

    Attributes:
        dataset: the user's.
        name: what it is called in messages.
        inputs: what the samples consist of.
        shapes: of a sample, input by input.
        dtypes: that the inputs are to have.
        scales: how they are standardised.
        floating: the dtype that floats get in the end; None leaves them.
        readers: worker processes, 0 to read in this one.
        mark: of all that the dataset holds.
        steady: whether a sample is the same whenever it is read, since nothing in it is random.
    """

    dataset: Dataset[Any]
    name: str
    inputs: Parts
    shapes: list[tuple[int, ...]]
    dtypes: list[np.dtype[Any]]
    scales: Sequence[Scale | None]
    floating: torch.dtype | None
    readers: int
    mark: bytes
    steady: bool

    @property
    def sample_bytes(self) -> int:
        """Bytes of a sample."""
        sizes = zip(self.shapes, self.example, strict=True)
        return sum(math.prod(shape) * part.element_size() for shape, part in sizes)

    @property
    def example(self) -> list[Tensor]:
        """Tensors of one sample each, without values."""
        return [
            self._cast(torch.from_numpy(np.empty((0, *shape), dtype)))
            for shape, dtype in zip(self.shapes, self.dtypes, strict=True)
        ]

    def fetch(self, rows: Iterable[Rows], pinned: bool, at_once: bool) -> Iterator[Task]:
        """Yield what prepares the samples of each list of rows, which are read here or by workers.

        Raises:
            UsageError: a sample cannot be read, or a worker died.
        """
        if self.readers and not at_once:
            pieces = _Pieces(self.dataset, self.name, self._prepared, self.steady)
            made = _supplied(pieces, rows, self.readers)
            return (partial(_in_memory, tensors, pinned) for tensors in made)
        # What the user's own code reads is prepared by whoever calls, while this thread trains.
        read = _supplied(_Pieces(self.dataset, self.name, _as_read, self.steady), rows, 0)
        return (partial(self._prepared, *each, pinned) for each in read)

    def cast(self, dtype: torch.dtype) -> "Reading":
        """Return a reading whose floats have another dtype."""
        return replace(self, floating=dtype)

    def update(self, digest: Any, rows: Tensor) -> None:
        """Put what is read of these rows into a digest, without reading it."""
        scales = [None if s is None else (s.mean.tolist(), s.std.tolist()) for s in self.scales]
        told = f"{self.shapes} {self.dtypes} {self.floating} {scales}"
        digest.update(self.mark + told.encode())
        digest.update(rows.numpy().data)

    def _prepared(
        self, xs: list[Any], ys: list[Any], numbers: list[int], pinned: bool = False
    ) -> list[Tensor]:
        del ys
        if not numbers:
            return self.example
        arrays = _arrays(xs, self.inputs, self.shapes, numbers)
        tensors = []
        for array, dtype, scale in zip(arrays, self.dtypes, self.scales, strict=True):
            array = array.astype(dtype, copy=False)
            array = scale.apply(array) if scale else np.ascontiguousarray(array)
            tensors.append(self._cast(torch.from_numpy(array)))
        return _in_memory(tensors, pinned)

    def _cast(self, tensor: Tensor) -> Tensor:
        floats = self.floating is not None and tensor.is_floating_point()
        return tensor.to(self.floating) if floats else tensor


def sample_size(dataset: Dataset[Any], name: str) -> int:
    """Return the bytes of the first sample."""
    x, _ = _first(dataset, name)
    inputs, values = Parts.of(join_parts([x], f"x of {name}", [0]), f"x of {name}")
    read = (read_samples(v, part) for v, part in zip(values, inputs.names, strict=True))
    return sum(array.nbytes for array in read)


def _first(dataset: Dataset[Any], name: str) -> tuple[Any, Any]:
    with _drawing():
        _draw_by(torch.tensor([0]))
        [pair] = read_pairs(dataset, [0], name)
        return pair


def scan(dataset: Dataset[Any], count: int, name: str, readers: int | None) -> tuple[Any, Any]:
    """Look at every sample once; return its inputs as columns, and the targets as arrays.

    Raises:
        UsageError: a sample raises or is no pair, is unlike the first, or is not finite.
    """
    x, y = _first(dataset, name)
    inputs, values = Parts.of(join_parts([x], f"x of {name}", [0]), f"x of {name}")
    heads, _ = Parts.of(y, f"y of {name}")
    first = [read_samples(v, part) for v, part in zip(values, inputs.names, strict=True)]
    shapes = [array.shape[1:] for array in first]
    at_once = max(1, PIECE // max(1, sum(array.nbytes for array in first)))
    look = partial(_looked_at, inputs=inputs, heads=heads, shapes=shapes)
    pieces = _Pieces(dataset, name, look)
    if readers is None:
        readers = _readers(_Pieces(dataset, name, _as_read), torch.arange(count).split(at_once)[:2])
    again = [mark for mark, *_ in _supplied(pieces, [[torch.tensor([0])]] * 2, 0)]
    steady = again[0] == again[1]
    digest = hashlib.blake2b(digest_size=8)
    dtypes: list[set[np.dtype[Any]]] = [set() for _ in shapes]
    targets: list[list[np.ndarray]] = [[] for _ in heads.names]
    rows = ([piece] for piece in torch.arange(count).split(at_once))
    for mark, found, ys, drawn in _supplied(pieces, rows, readers):
        digest.update(mark)
        steady = steady and not drawn
        for known, dtype in zip(dtypes, found, strict=True):
            known.add(dtype)
        for column, y in zip(targets, ys, strict=True):
            column.append(y)
    common = [np.result_type(*known) for known in dtypes]
    reading = Reading(
        *(dataset, name, inputs, shapes, common, [None] * len(shapes), None, readers),
        *(digest.digest(), steady),
    )
    columns = [
        Column(reading, (count, *shape), dtype) for shape, dtype in zip(shapes, common, strict=True)
    ]
    return inputs.join(columns), heads.join([np.concatenate(column) for column in targets])


PIECE = 6 << 20  # bytes of samples that are read, gathered or moved in one go


def _readers(pieces: "_Pieces", some: Sequence[Tensor]) -> int:
    """Return how many processes pay: none where samples are read as fast as passed on.

    Some is read slowly only the first time: a file is opened, a module imported.
    """
    took = []
    for numbers in some:
        started = time.perf_counter()
        _ = pieces[[numbers]]
        took.append(time.perf_counter() - started)
    return 0 if min(took) < _PASSING else min(joblib.cpu_count(), _MOST_READERS)


def _looked_at(
    xs: list[Any],
    ys: list[Any],
    numbers: list[int],
    inputs: Parts,
    heads: Parts,
    shapes: list[tuple[int, ...]],
) -> tuple[bytes, list[np.dtype[Any]], list[np.ndarray], bool]:
    """Check samples that were just read.

    Returns:
        A mark of them, the dtypes of their parts, their targets, and whether random numbers were
        drawn for them.
    """
    drawn = _have_drawn(torch.tensor(numbers))
    arrays = _arrays(xs, inputs, shapes, numbers)
    digest = hashlib.blake2b(digest_size=8)
    for array, name in zip(arrays, inputs.names, strict=True):
        if array.dtype.kind == "f":
            finite = np.isfinite(array).reshape(len(array), -1).all(1)
            if not finite.all():
                raise UsageError(
                    f"{name} holds NaN or infinite values at sample {numbers[int(finite.argmin())]}"
                    ": leave this sample out or fill the values in"
                )
        digest.update(np.ascontiguousarray(array).data)
    parts, values = Parts.of(join_parts(ys, heads.whole, numbers), heads.whole)
    _check_parts(parts, heads, numbers)
    targets = [as_array(v, name) for v, name in zip(values, heads.names, strict=True)]
    return digest.digest(), [array.dtype for array in arrays], targets, drawn


def _arrays(
    xs: list[Any], inputs: Parts, shapes: list[tuple[int, ...]], numbers: list[int]
) -> list[np.ndarray]:
    """Samples as one array for each input, of the shapes of sample 0."""
    parts, values = Parts.of(join_parts(xs, inputs.whole, numbers), inputs.whole)
    _check_parts(parts, inputs, numbers)
    arrays = [read_samples(v, name) for v, name in zip(values, inputs.names, strict=True)]
    for array, name, shape in zip(arrays, inputs.names, shapes, strict=True):
        check_shape(array.shape[1:], shape, name, numbers[0], 0)
    return arrays


def _check_parts(parts: Parts, first: Parts, numbers: list[int]) -> None:
    if parts.keys != first.keys:
        raise UsageError(
            f"{first.whole}: sample {numbers[0]} consists of {', '.join(parts.names)} but sample 0 "
            f"of {', '.join(first.names)}: they must have the same parts"
        )


Made = Callable[[list[Any], list[Any], list[int]], Any]


def _supplied(pieces: "_Pieces", rows: Iterable[Rows], readers: int) -> Iterator[Any]:
    """Yield what is made of the samples of each list of rows, in turn."""
    try:
        for made in _loader(pieces, rows, readers) if readers else map(pieces.__getitem__, rows):
            if isinstance(made, _Failed):
                raise UsageError(*made.problems)
            yield made
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise UsageError(
            f"a process that read {pieces.name} died: is there too little memory, or shared "
            f"memory? Read with fewer than {readers} processes (readers=), 0 to read in this one"
        ) from error


def _loader(pieces: "_Pieces", rows: Iterable[Rows], readers: int) -> DataLoader[Any]:
    return DataLoader(
        pieces,
        batch_size=None,
        sampler=rows,  # type: ignore[arg-type]  # any iterable will do
        num_workers=readers,
        collate_fn=_as_it_is,
        worker_init_fn=_stay,
        # Otherwise torch's global stream would be drawn from, and with it the dropout masks.
        generator=torch.Generator(),
    )


@dataclass(frozen=True)
class _Failed:
    """Travels from a worker in place of an exception, which would arrive with its traceback."""

    problems: tuple[str, ...]


class _Pieces(Dataset[Any]):
    """Indexed by rows of samples; what workers hold.

    Args:
        dataset: the user's.
        name: of it.
        make: is given the samples of a piece.
        steady: whether they are known not to be random, so that no generator needs care.
    """

    def __init__(self, dataset: Dataset[Any], name: str, make: Made, steady: bool = False) -> None:
        self.name = name
        self._dataset, self._make, self._steady = dataset, make, steady

    def __getitem__(self, rows: Rows) -> Any:
        xs: list[Any] = []
        ys: list[Any] = []
        try:
            with nullcontext() if self._steady else _drawing():
                for numbers in rows:
                    if not self._steady:
                        _draw_by(numbers)
                    for x, y in read_pairs(self._dataset, numbers.tolist(), self.name):
                        xs.append(x)
                        ys.append(y)
                return self._make(xs, ys, torch.cat(rows).tolist())
        except UsageError as error:
            return _Failed(error.problems)


def _stay(worker: int) -> None:
    """Ctrl-C reaches the workers as well, and the training is to end its step and be tested."""
    del worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _in_memory(tensors: list[Tensor], pinned: bool) -> list[Tensor]:
    return [tensor.pin_memory() for tensor in tensors] if pinned else tensors


def _as_it_is(made: Any) -> Any:
    return made


def _as_read(*read: list[Any]) -> tuple[list[Any], ...]:
    return read


@contextmanager
def _drawing() -> Iterator[None]:
    """Bring all global generators of the CPU back to where they were."""
    before = _states()
    try:
        yield
    finally:
        torch.set_rng_state(before[0])
        np.random.set_state(before[1])
        random.setstate(before[2])


def _draw_by(numbers: Tensor) -> None:
    """Seed all global generators of the CPU by the numbers of samples."""
    mark = hashlib.blake2b(numbers.numpy().data, digest_size=4).digest()
    seed = int.from_bytes(mark, "little")
    torch.default_generator.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


def _have_drawn(numbers: Tensor) -> bool:
    """Tell whether random numbers were drawn since the generators were seeded by these."""
    ours = _states()
    _draw_by(numbers)
    seeded = _states()
    arrays = zip((ours[0], *ours[1][1:3]), (seeded[0], *seeded[1][1:3]), strict=True)
    return ours[2] != seeded[2] or not all(np.array_equal(a, b) for a, b in arrays)


def _states() -> tuple[Tensor, Any, Any]:
    return torch.get_rng_state(), np.random.get_state(), random.getstate()
