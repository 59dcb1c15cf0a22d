"""From whatever the user has to three splits of tensors."""

from typing import Any

import numpy as np
import torch

from normwise.data.arrays import Table, tabulate
from normwise.data.dataset import Data, Device, Split, check_device
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
            of these. A `Data` is returned as it is, whatever else is asked for.
        val: the validation split, as a number of samples or as a fraction of what the test split
            leaves; by default 20 % of that, but at most 5000 samples.
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
        kinds = table.y if table.labels else np.zeros(len(table.x), dtype=np.int64)
        with problems.collect():
            own_test = table.test is not None
            rows = divide(kinds, table.labels or ("",), val, None if own_test else test, seed)
    problems.raise_if_any()
    assert table is not None
    assert rows is not None
    return _assemble(table, rows, standardize).to(device)


def _assemble(table: Table, rows: Rows, standardize: bool) -> Data:
    parts = [(table.x[index], table.y[index]) for index in (rows.train, rows.val)]
    parts.append(table.test or (table.x[rows.test], table.y[rows.test]))

    scale = None
    if standardize and np.issubdtype(table.x.dtype, np.floating):
        scale = Scale.of(parts[0][0])
    train, val_split, test_split = (
        Split(torch.from_numpy(scale.apply(x) if scale else np.array(x)), torch.tensor(y))
        for x, y in parts
    )
    return Data(
        name=table.name,
        train=train,
        val=val_split,
        test=test_split,
        task="classes" if table.labels else "regression",
        classes=len(table.labels) or None,
        mean=torch.from_numpy(scale.mean) if scale else None,
        std=torch.from_numpy(scale.std) if scale else None,
        labels=table.labels,
    )
