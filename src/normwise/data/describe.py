"""A dataset in words and numbers."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

from normwise.samples import Samples, tensors

if TYPE_CHECKING:
    from normwise.data.dataset import Data
    from normwise.data.head import Head
    from normwise.data.split import Split

MOST_CLASSES_LISTED = 20
FEW_VALUES = 20


def describe(data: "Data") -> str:
    """Return the lines behind `Data.describe`."""
    lines = [_headline(data), *_standardisation(data), *_table(_ranges(data))]
    for name, head in _heads(data).items():
        if head.task == "classes":
            lines += _table(_balance(data, name, head))
        elif _looks_like_labels(y := _targets(data.train, name)):
            lines.append(
                f"{_named('y', name)} holds floats, so this is a regression; but there are only "
                f"{len(y.unique())} values, all whole: if they are labels, pass integers"
            )
    return "\n".join(lines)


def samples_text(samples: Samples) -> str:
    """Return the shape and type of one sample, input by input.

    Example:
        >>> import torch
        >>> samples_text({"image": torch.zeros(5, 1, 8, 8), "age": torch.zeros(5, 1)})
        'image 1×8×8 float32, age 1 float32'
    """
    if isinstance(samples, dict):
        return ", ".join(f"{name} {shape_text(tensor)}" for name, tensor in samples.items())
    return ", ".join(map(shape_text, tensors(samples)))


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
    told = [_task(data, name, head) for name, head in _heads(data).items()]
    samples = f"samples of {samples_text(data.train.x)}"
    if data.task == "regression":
        return f"{data.name}: regression, {samples}, targets of {samples_text(data.train.y)}"
    return f"{data.name}: {', '.join(told)}, {samples}"


def _task(data: "Data", name: str | None, head: "Head") -> str:
    named = f"{name}: " if name else ""
    if head.task == "classes":
        return f"{named}{head.classes} classes"
    return f"{named}regression of {shape_text(_targets(data.train, name))}"


def _heads(data: "Data") -> "Mapping[str | None, Head]":
    """The heads by name; a single one has none."""
    return data.heads or {None: data}  # type: ignore[return-value]


def _targets(split: "Split", head: str | None) -> Tensor:
    return split.y if head is None else split.y[head]  # type: ignore[return-value, index]


def _named(letter: str, key: int | str | None) -> str:
    return letter if key is None else f"{letter}[{key!r}]"


def _inputs(samples: Any) -> dict[int | str | None, Any]:
    """The inputs, or what belongs to each, by position or name; a single one has none."""
    if isinstance(samples, tuple):
        return dict(enumerate(samples))
    return samples if isinstance(samples, dict) else {None: samples}


def _standardisation(data: "Data") -> list[str]:
    if data.mean is None:
        return ["not standardised"]
    means, stds = _inputs(data.mean), _inputs(data.std)
    lines = []
    for key, mean in means.items():
        which = "" if key is None else f"{_named('x', key)} "
        if mean is None:
            lines.append(f"{which}not standardised")
            continue
        per = "per feature" if mean.ndim == 1 else "per channel"
        spans = f"mean {_span(mean)}, std {_span(stds[key])}"
        lines.append(f"{which}standardised by the training split, {per}: {spans}")
    return lines


def _span(values: Tensor) -> str:
    low, high = f"{values.min().item():.4g}", f"{values.max().item():.4g}"
    return low if low == high else f"{low} to {high}"


def _ranges(data: "Data") -> list[list[str]]:
    values = [name for name, head in _heads(data).items() if head.task == "regression"]
    rows = [["split", "samples"]]
    for key in _inputs(data.train.x):
        rows[0] += [f"{_named('x', key)} min", f"{_named('x', key)} max"]
    for name in values:
        rows[0] += [f"{_named('y', name)} {what}" for what in ("min", "max", "mean")]
    for name, split in _splits(data):
        row = [name, str(len(split))]
        if not len(split):
            rows.append([*row, *["–"] * (len(rows[0]) - 2)])
            continue
        for span in split.ranges():
            row += ["–", "–"] if span is None else [f"{value:.4g}" for value in span]
        for head in values:
            y = _targets(split, head)
            row += [_number(value) for value in (y.min(), y.max(), y.mean())]
        rows.append(row)
    return rows


def _balance(data: "Data", name: str | None, head: "Head") -> list[list[str]]:
    assert head.classes is not None
    counts = {
        split_name: _targets(split, name).bincount(minlength=head.classes)
        for split_name, split in _splits(data)
    }
    title = "class" if name is None else f"class of {name}"
    rows = [[title, *(cell for split_name in counts for cell in (split_name, "share"))]]
    listed = _listed(counts["train"])
    for index in listed:
        row = [str(head.labels[index])]
        for count in counts.values():
            share = 100 * count[index] / max(1, count.sum())
            row += [str(count[index].item()), f"{share:.1f} %"]
        rows.append(row)
    if len(listed) < head.classes:
        between = f"({head.classes - len(listed)} classes of sizes between)"
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
