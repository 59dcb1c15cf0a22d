"""From whatever the user has to three splits of tensors."""

from typing import Any

import numpy as np
import torch

from normwise.data.arrays import Table, Target, tabulate
from normwise.data.dataset import Data, Device, Split, check_device
from normwise.data.head import Head
from normwise.data.sources import find
from normwise.data.splits import VAL_SHARE, Rows, Size, check_seed, check_size, divide
from normwise.data.standardize import Scale
from normwise.errors import Problems, UsageError


def load(
    source: Any,
    *,
    val: Size | None = None,
    test: Size = 0.2,
    seed: int = 0,
    standardize: bool = True,
    device: Device = "cpu",
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

    Args:
        source: ``"digits"`` (scikit-learn's 8x8 digits) or ``"mnist"``; arrays, tensors, lists or
            data frames as ``(x, y)`` or ``(x_train, y_train, x_test, y_test)``; a torch `Dataset`
            of pairs ``(x, y)``, or two of them (train, test), each read once; the path of an
            ``.npz`` or ``.safetensors`` file with arrays so named; ``"file.py:function"``,
            ``"module:function"`` or a function, which is called without arguments and returns any
            of these. A `Data` is returned as it is, whatever else is asked for. For a network with
            several inputs ``x`` is a tuple of arrays (its positional arguments) or a dict (its
            named ones), for several heads ``y`` is a dict; the first head with classes decides how
            the splits are stratified.
        val: the validation split, as a number of samples or as a fraction of what the test split
            leaves; by default 20 % of that, but at most 5000 samples. 0 makes none.
        test: the test split, as a number of samples or as a fraction of all. A source that brings
            a test split of its own keeps it.
        seed: the splits depend on this and on nothing else, 0 to 2**32 - 1.
        standardize: whether to standardise.
        device: where the tensors go.

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
    with problems.collect():
        check_device(device)
    settings_fit = not problems.found
    try:
        found = find(source)
    except UsageError as error:
        raise UsageError(*problems.found, *error.problems) from error
    if isinstance(found, Data):
        problems.raise_if_any()
        return found.to(device)

    table, rows = tabulate(found, problems), None
    if table and settings_fit:
        kinds, labels = table.kinds
        with problems.collect():
            rows = divide(kinds, labels, val, None if table.test_samples else test, seed)
    problems.raise_if_any()
    assert table is not None
    assert rows is not None
    return _assemble(table, rows, standardize).to(device)


def _assemble(table: Table, rows: Rows, standardize: bool) -> Data:
    scales = [
        Scale.of(x[rows.train]) if standardize and np.issubdtype(x.dtype, np.floating) else None
        for x in table.samples
    ]
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


def _head(target: Target) -> Head:
    task = "classes" if target.labels else "regression"
    return Head(task, len(target.labels) or None, target.labels)


def _split(table: Table, scales: list[Scale | None], rows: np.ndarray | None) -> Split:
    """Return the split of these rows, or the source's own test split."""
    if rows is None:
        x, y = table.test_samples, [target.test for target in table.targets]
    else:
        x, y = [each[rows] for each in table.samples], [each.y[rows] for each in table.targets]
    samples = [
        torch.from_numpy(scale.apply(part) if scale else np.array(part))
        for part, scale in zip(x, scales, strict=True)
    ]
    return Split(
        table.inputs.join(samples),
        table.heads.join([torch.tensor(part) for part in y]),  # type: ignore[arg-type]
    )


def _tensor(values: np.ndarray | None) -> torch.Tensor | None:
    return None if values is None else torch.from_numpy(values)
