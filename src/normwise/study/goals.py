"""Losses and metrics that do not fit what is to be predicted."""

from collections.abc import Mapping
from typing import Any

from normwise.data import Data, Head
from normwise.errors import suggest
from normwise.stack import LOSSES
from normwise.stack.heads import Losses, Metrics

_OF_CLASSES = ("cross_entropy", "nll_loss", "binary_cross_entropy_with_logits")


def goal_problems(
    loss: Losses,
    metric: Metrics,
    loss_weights: Mapping[str, float] | None,
    data: Data | None,
) -> list[str]:
    """Return all that cannot be meant.

    Args:
        loss: see `normwise.stack.goal_of`, as the others.
        metric: likewise.
        loss_weights: likewise.
        data: what runs train on, or None while it is not known.

    Example:
        >>> from normwise.data import load
        >>> goal_problems("mse_loss", None, None, load("digits"))
        ['loss=mse_loss is for a regression, and the targets are 10 classes: leave it out']
    """
    problems = []
    for name, choice in (("loss", loss), ("metric", metric), ("loss_weights", loss_weights)):
        if isinstance(choice, Mapping):
            problems += _head_problems(name, choice, data)
    for where, each, head in _each(loss, data):
        problems += _loss_problems(where, each, head)
    for where, each, _ in _each(metric, data):
        if each is not None and not callable(each):
            problems.append(f"{where}={each!r}: give a function of outputs and targets")
    for name, weight in (loss_weights or {}).items():
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not weight >= 0:
            problems.append(f"loss_weights[{name!r}]={weight!r}: a weight is a number, 0 or more")
    problems += [] if data is None else _label_problems(data)
    if loss_weights and data is not None and data.task != "heads":
        problems.append("loss_weights are for several heads, and these targets have one")
    return problems


def _head_problems(name: str, choice: Mapping[str, Any], data: Data | None) -> list[str]:
    if data is None:
        return []
    if data.task != "heads":
        return [] if name == "loss_weights" else [f"{name} is a dict, and there is one head only"]
    return [
        f"{name}[{head!r}]: there is no such head{suggest(str(head), data.heads)}; the targets "
        f"have {', '.join(data.heads)}"
        for head in choice
        if head not in data.heads
    ]


def _label_problems(data: Data) -> list[str]:
    """Labels of a `Data` that was made by hand may be anything; `load` counts them from 0."""
    problems = []
    for split_name in ("train", "val", "test"):
        y = getattr(data, split_name).y
        named = y.items() if isinstance(y, dict) else [("", y)]
        for name, labels in named:
            classes = (data.heads[name] if name else data).classes
            if classes is None or not len(labels):
                continue
            low, high = int(labels.min()), int(labels.max())
            if low < 0 or high >= classes:
                which = f"the {split_name} split{f' of head {name!r}' if name else ''}"
                problems.append(
                    f"{which} holds labels from {low} to {high}, and there are {classes} classes: "
                    f"they are numbered 0 to {classes - 1}; nw.data.load numbers them so"
                )
    return problems


def _each(choice: Any, data: Data | None) -> list[tuple[str, Any, "Head | Data | None"]]:
    """A choice for every head: what it is called, what it is, and the head where it is known."""
    if isinstance(choice, Mapping):
        heads = {} if data is None else data.heads
        return [(f"[{name!r}]", each, heads.get(name)) for name, each in choice.items()]
    if data is not None and data.task == "heads":
        return [("", choice, head) for head in data.heads.values()]
    return [("", choice, data)]


def _loss_problems(where: str, loss: Any, head: "Head | Data | None") -> list[str]:
    if loss is None or (callable(loss) and not isinstance(loss, str)):
        return []
    if not isinstance(loss, str):
        return [f"loss{where}={loss!r}: give a function of output and target, or its name"]
    if loss not in LOSSES:
        return [
            f"unknown loss{where} {loss!r}{suggest(loss, LOSSES)}: use one of "
            f"{', '.join(LOSSES)}, or a function of output and target"
        ]
    if head is None:
        return []
    if head.task == "regression" and loss in _OF_CLASSES:
        return [
            f"loss{where}={loss} is for classes, and the targets are floats: leave it out, or give "
            "labels as integers"
        ]
    if head.task == "classes" and (head.classes or 0) > 2 and loss not in _OF_CLASSES:
        return [
            f"loss{where}={loss} is for a regression, and the targets are {head.classes} classes: "
            "leave it out"
        ]
    return []
