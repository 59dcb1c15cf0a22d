"""A dataset in words and numbers."""

from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from normwise.data.dataset import Data

MOST_CLASSES_LISTED = 20
FEW_VALUES = 20


def describe(data: "Data") -> str:
    """Return the lines behind `Data.describe`."""
    lines = [_headline(data), _standardisation(data), *_table(_ranges(data))]
    if data.task == "classes":
        lines += _table(_balance(data))
    elif _looks_like_labels(data.train.y):
        lines.append(
            f"y holds floats, so this is a regression; but there are only "
            f"{len(data.train.y.unique())} values, all whole: if they are labels, pass integers"
        )
    return "\n".join(lines)


def shape_text(x: Tensor) -> str:
    """Return the shape and type of one sample.

    Example:
        >>> import torch
        >>> shape_text(torch.zeros(5, 1, 8, 8))
        '1×8×8 float32'
    """
    kind = str(x.dtype).removeprefix("torch.")
    return f"{'×'.join(str(size) for size in x.shape[1:]) or '1'} {kind}"


def _headline(data: "Data") -> str:
    samples = f"samples of {shape_text(data.train.x)}"
    if data.task == "classes":
        return f"{data.name}: {data.classes} classes, {samples}"
    return f"{data.name}: regression, {samples}, targets of {shape_text(data.train.y)}"


def _standardisation(data: "Data") -> str:
    if data.mean is None or data.std is None:
        return "not standardised"
    per = "per feature" if data.mean.ndim == 1 else "per channel"
    mean, std = _span(data.mean), _span(data.std)
    return f"standardised by the training split, {per}: mean {mean}, std {std}"


def _span(values: Tensor) -> str:
    low, high = f"{values.min().item():.4g}", f"{values.max().item():.4g}"
    return low if low == high else f"{low} to {high}"


def _ranges(data: "Data") -> list[list[str]]:
    regression = data.task == "regression"
    rows = [["split", "samples", "x min", "x max"]]
    if regression:
        rows[0] += ["y min", "y max", "y mean"]
    for name, split in _splits(data):
        row = [name, str(len(split)), _number(split.x.min()), _number(split.x.max())]
        if regression:
            row += [_number(value) for value in (split.y.min(), split.y.max(), split.y.mean())]
        rows.append(row)
    return rows


def _balance(data: "Data") -> list[list[str]]:
    assert data.classes is not None
    counts = {name: split.y.bincount(minlength=data.classes) for name, split in _splits(data)}
    rows = [["class", *(cell for name in counts for cell in (name, "share"))]]
    listed = _listed(counts["train"])
    for index in listed:
        row = [str(data.labels[index])]
        for count in counts.values():
            share = 100 * count[index] / count.sum()
            row += [str(count[index].item()), f"{share:.1f} %"]
        rows.append(row)
    if len(listed) < data.classes:
        between = f"({data.classes - len(listed)} classes of sizes between)"
        rows.insert(1 + len(listed) // 2, [between])
    return rows


def _listed(counts: Tensor) -> list[int]:
    """All classes in order, or, of many, the smallest and the largest."""
    if len(counts) <= MOST_CLASSES_LISTED:
        return list(range(len(counts)))
    by_size = counts.argsort(stable=True).tolist()
    return by_size[: MOST_CLASSES_LISTED // 2] + by_size[-MOST_CLASSES_LISTED // 2 :]


def _looks_like_labels(y: Tensor) -> bool:
    return bool((y == y.round()).all()) and len(y.unique()) <= min(FEW_VALUES, len(y) // 2)


def _splits(data: "Data"):
    return [("train", data.train), ("val", data.val), ("test", data.test)]


def _number(value: Tensor) -> str:
    return f"{value.item():.4g}"


def _table(rows: list[list[str]]) -> list[str]:
    """The first column to the left, numbers to the right; a row may end early."""
    columns = len(rows[0])
    full = [row for row in rows if len(row) == columns]
    widths = [max(len(row[i]) for row in full) for i in range(columns)]
    return [
        " ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=False))
        ).rstrip()
        for row in rows
    ]
