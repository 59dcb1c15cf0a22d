"""From whatever the user has to three splits of tensors."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from normwise.data.arrays import Table, tabulate
from normwise.data.column import Column
from normwise.data.dataset import Data, check_device
from normwise.data.head import Head
from normwise.data.memory import Memory, available, read_memory
from normwise.data.sources import find
from normwise.data.split import Device, Split
from normwise.data.splits import VAL_SHARE, Rows, Size, check_seed, check_size, divide
from normwise.data.standardize import CHUNK, Moments, Scale
from normwise.data.streamed import Streamed, outlines
from normwise.errors import Problems, UsageError
from normwise.samples import tensors


def load(
    source: Any,
    *,
    val: Size | None = None,
    test: Size = 0.2,
    seed: int = 0,
    standardize: bool = True,
    device: Device = "cpu",
    memory: Memory | None = None,
    readers: int | None = None,
) -> Data:
    """Load a dataset, split it and standardise it.

    Labels (integers, booleans or strings) are mapped to 0..C-1 in sorted order and split so that
    every split has the classes in the same shares; floats in `y` make a regression, are split at
    random and are not standardised. Samples that hold floats come out as float32, or float64 where
    they came as float64, and regression targets likewise; booleans become float32. Samples that
    hold integers become int64 (images of uint8 stay so) and are not standardised.

    Standardisation takes mean and standard deviation (dividing by N) from the training split alone,
    in float64: per feature for vectors, per channel (dimension 1) for samples with two dimensions
    or more. What is constant is centred only.

    Samples that take more than `memory` are streamed while a network trains, and every run trains
    alone; the results are the same, bit for bit. A `Dataset` is then read twice here (all of it for
    labels, checks and a fingerprint, the training split for mean and standard deviation); as many
    samples as fit in `memory` are kept, and the others read again in every epoch. Where a sample is
    not the same every time, none is kept: a random transform is drawn anew for every batch, by the
    numbers of the samples in it, so that a training can be repeated and resumed.

    Args:
        source: ``"digits"`` (scikit-learn's 8x8 digits) or ``"mnist"``; arrays, tensors, lists or
            data frames as ``(x, y)`` or ``(x_train, y_train, x_test, y_test)``; a torch `Dataset`
            of pairs ``(x, y)``, or two of them (train, test), each read once where it fits in
            memory; the path of an ``.npz`` or ``.safetensors`` file with arrays so named;
            ``"file.py:function"``, ``"module:function"`` or a function, which is called without
            arguments and returns any of these. A `Data` is returned as it is, whatever else is
            asked for. For a network with several inputs ``x`` is a tuple of arrays (its positional
            arguments) or a dict (its named ones), for several heads ``y`` is a dict; the first head
            with classes decides how the splits are stratified.
        val: the validation split, as a number of samples or as a fraction of what the test split
            leaves; by default 20 % of that, but at most 5000 samples. 0 makes none.
        test: the test split, as a number of samples or as a fraction of all. A source that brings
            a test split of its own keeps it.
        seed: the splits depend on this and on nothing else, 0 to 2**32 - 1.
        standardize: whether to standardise.
        device: where the tensors go.
        memory: what the samples may take, as a number of bytes or a text such as ``"2GB"``; None
            for half of what is available: in this machine for a `Dataset`, on a GPU for tensors.
        readers: processes that read a `Dataset` that does not fit; 0 to read in this one;
            None for one a core, 4 at most, or 0 where samples are read faster than passed on.

    Returns:
        The data. Train and validation split are in random order.

    Raises:
        UsageError: the source cannot be found, read, or split as asked; all reasons at once.

    Example:
        >>> x = [[0.0, 5.0], [2.0, 5.0]] * 25
        >>> data = load((x, ["a", "b"] * 25))
        >>> data.mean, data.std
        (tensor([1., 5.], dtype=torch.float64), tensor([1., 1.], dtype=torch.float64))
        >>> len(data.train), len(data.val), len(data.test), data.labels
        (32, 8, 10, ('a', 'b'))
    """
    if isinstance(source, Data):
        return source
    problems = Problems()
    for name, size in (("val", VAL_SHARE if val is None else val), ("test", test)):
        with problems.collect():
            check_size(name, size)
    with problems.collect():
        check_seed(seed)
    bound = None
    with problems.collect():
        check_device(device)
    with problems.collect():
        bound = None if memory is None else read_memory(memory)
    with problems.collect():
        _check_readers(readers)
    settings_fit = not problems.found
    room = bound or available(torch.device("cpu"))
    try:
        found = find(source, room, readers)
    except UsageError as error:
        raise UsageError(*problems.found, *error.problems) from error
    if isinstance(found, Data):
        problems.raise_if_any()
        return found.to(device, bound)

    table, rows = tabulate(found, problems), None
    if table and settings_fit:
        kinds, labels = table.kinds
        with problems.collect():
            rows = divide(kinds, labels, val, None if table.test_samples else test, seed)
    problems.raise_if_any()
    assert table is not None
    assert rows is not None
    return _keeping(_assemble(table, rows, standardize), room).to(device, bound)


def _check_readers(readers: int | None) -> None:
    right = isinstance(readers, int) and not isinstance(readers, bool) and readers >= 0
    if readers is not None and not right:
        raise UsageError(f"readers={readers!r}: give a number of processes, 0 to read in this one")


def _assemble(table: Table, rows: Rows, standardize: bool) -> Data:
    scales = _scales(table, rows.train, standardize)
    scaled = any(scales)
    heads = [
        Head(
            "classes" if target.labels else "regression", len(target.labels) or None, target.labels
        )
        for target in table.targets
    ]
    single = heads[0] if table.heads.keys is None else None
    return Data(
        name=table.name,
        train=_split(table, scales, rows.train),
        val=_split(table, scales, rows.val),
        test=_split(table, scales, None if table.test_samples else rows.test),
        task=single.task if single else "heads",
        classes=single.classes if single else None,
        mean=table.inputs.join([_tensor(scale and scale.mean) for scale in scales])
        if scaled
        else None,
        std=table.inputs.join([_tensor(scale and scale.std) for scale in scales])
        if scaled
        else None,
        labels=single.labels if single else (),
        heads={} if single else table.heads.join(heads),  # type: ignore[arg-type]
    )


def _keeping(data: Data, room: int) -> Data:
    """Keep what fits of streamed splits, but not of the test split, which is read once a run."""
    kept = {}
    for name in ("val", "train"):
        split = getattr(data, name)
        if isinstance(split, Streamed):
            kept[name] = split.keeping(room)
            room -= sum(part.nbytes for part in kept[name].kept)
    return replace(data, **kept)


def _scales(table: Table, rows: np.ndarray, standardize: bool) -> list[Scale | None]:
    floats = [np.issubdtype(x.dtype, np.floating) for x in table.samples]
    moments = [Moments() if standardize and each else None for each in floats]
    if any(moments):
        for chunk in _chunks(table, rows):
            for moment, x in zip(moments, chunk, strict=True):
                if moment is not None:
                    moment.add(x)
    return [None if moment is None else moment.scale() for moment in moments]


def _chunks(table: Table, rows: np.ndarray) -> Iterator[list[np.ndarray]]:
    if isinstance(table.samples[0], Column):
        unscaled = _stream(table, table.samples, [None] * len(table.samples), rows)
        for part in unscaled.parts(CHUNK):
            yield [x.numpy() for x in tensors(part.x)]
        return
    for start in range(0, len(rows), CHUNK):
        yield [x[rows[start : start + CHUNK]] for x in table.samples]


def _stream(
    table: Table, columns: list[Any], scales: list[Scale | None], rows: np.ndarray, y: Any = ()
) -> Streamed:
    """Return a split of a dataset that is read as it is needed."""
    dtypes = [column.dtype for column in columns]
    reading = replace(columns[0].reading, dtypes=dtypes, scales=scales)
    x = table.inputs.join(outlines(reading, len(rows)))
    return Streamed(x, y, reading, torch.from_numpy(rows), torch.device("cpu"))


def _split(table: Table, scales: list[Scale | None], rows: np.ndarray | None) -> Split:
    """Return the split of these rows, or the source's own test split."""
    own = rows is None
    x = table.test_samples if own else table.samples
    y = [target.test if own else target.y[rows] for target in table.targets]
    targets = table.heads.join([torch.tensor(part) for part in y])
    if isinstance(x[0], Column):
        return _stream(table, x, scales, np.arange(len(x[0])) if own else rows, targets)
    samples = [
        torch.from_numpy(scale.apply(part) if scale else part)
        for part, scale in zip(
            (np.array(each) if own else each[rows] for each in x), scales, strict=True
        )
    ]
    return Split(table.inputs.join(samples), targets)  # type: ignore[arg-type]


def _tensor(values: np.ndarray | None) -> torch.Tensor | None:
    return None if values is None else torch.from_numpy(values)
