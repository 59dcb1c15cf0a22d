"""The page of a single training: its curves, its evaluations, how it was made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from normwise.errors import UsageError
from normwise.report.charts import Lines, chart_plans
from normwise.report.columns import numbers
from normwise.report.page import render, show
from normwise.report.wording import brief, metric_name, number, whole

CURVES = ("step", "epoch", "lr", "train_loss", "val_loss")
_ROWS = 60  # of the table; more are thinned out evenly
_FALLS = 20  # a loss that falls by more than this factor is drawn on a logarithmic axis


@dataclass(frozen=True, eq=False)
class HistoryTables:
    """Everything that the page of a training shows.

    Attributes:
        title: what was trained on what.
        verdict: how it came out, in one sentence.
        notes: caveats, one plain sentence each.
        facts: how it was made, by name.
        metric: the metric's name for the reader.
        curves: one row per evaluation, with the columns `CURVES`; whatever else it has is a
            metric on the validation split.
        best: the step whose weights the network has, or None for the last.

    Raises:
        UsageError: a column is missing.

    Example:
        >>> curves = pd.DataFrame([dict.fromkeys([*CURVES, "val_acc"], 0.5)])
        >>> HistoryTables("digits", "Fine.", [], {}, "accuracy", curves).scores
        ['val_acc']
    """

    title: str
    verdict: str
    notes: Sequence[str]
    facts: Mapping[str, str]
    metric: str
    curves: pd.DataFrame
    best: int | None = None

    def __post_init__(self) -> None:
        absent = [name for name in CURVES if name not in self.curves]
        if absent:
            raise UsageError(f"the curves lack the columns {', '.join(absent)}")

    @property
    def scores(self) -> list[str]:
        """The columns that are metrics."""
        return [name for name in self.curves if name not in CURVES]


def history_page(tables: HistoryTables) -> str:
    """Write a training's report as one self-contained HTML page.

    Example:
        >>> curves = pd.DataFrame([dict.fromkeys([*CURVES, "val_acc"], 0.5)])
        >>> page = history_page(HistoryTables("<net>", "Fine.", [], {}, "accuracy", curves))
        >>> page.startswith("<!doctype html>"), "&lt;net&gt;" in page, "<net>" in page
        (True, True, False)
    """
    rows = tables.curves
    kept = np.linspace(0, len(rows) - 1, min(len(rows), _ROWS)).round().astype(int)
    shown = rows.iloc[np.union1d(kept, np.flatnonzero(rows["step"] == tables.best))]
    return render(
        "history.html",
        tables=tables,
        figures=list(show(chart_plans("history", history_charts(tables))).values()),
        columns=headings(tables),
        rows=[
            {"best": step == tables.best, "cells": cells}
            for step, cells in zip(shown["step"], map(cells, shown.to_dict("records")), strict=True)
        ],
        told=list(_told(tables, len(rows) - len(shown))),
    )


def headings(tables: HistoryTables) -> list[str]:
    """Return the names of the curves' columns, for the reader.

    Example:
        >>> curves = pd.DataFrame([dict.fromkeys([*CURVES, "val_acc"], 0.5)])
        >>> headings(HistoryTables("digits", "", [], {}, "accuracy", curves))[-3:]
        ['training loss', 'validation loss', 'validation accuracy']
    """
    names = {"lr": "learning rate", "train_loss": "training loss", "val_loss": "validation loss"}
    if tables.scores:
        names[tables.scores[0]] = f"validation {tables.metric}"
        heads = tables.scores[1:]
        names |= {head: f"validation {metric_name(head.removeprefix('val_'))}" for head in heads}
    return [names.get(name, name) for name in map(str, tables.curves)]


def cells(row: Mapping[str, float]) -> list[str]:
    """Return an evaluation as texts; what was not measured is empty.

    Example:
        >>> cells({"step": 120, "epoch": 2.0, "train_loss": float("nan"), "val_acc": 0.96})
        ['120', '2', '', '0.9600']
    """
    return ["" if np.isnan(v) else _WAYS.get(name, _score)(v) for name, v in row.items()]


def history_charts(tables: HistoryTables) -> list[Lines]:
    """Return the curves: the losses, the metrics, and the learning rate where it moved.

    Example:
        >>> curves = pd.DataFrame([dict.fromkeys([*CURVES, "val_acc"], 0.5)] * 2)
        >>> [c.title for c in history_charts(HistoryTables("a", "", [], {}, "accuracy", curves))]
        ['Loss', 'Accuracy']
    """
    # The validation split comes first, and so has one colour in all charts.
    losses = {"validation": "val_loss", "training": "train_loss"}
    charts = [
        Lines(
            "Loss",
            "The mean loss of the batches since the evaluation before, in training mode (with "
            "dropout, and with label smoothing where it is asked for), and that of the validation "
            "split, in evaluation mode.",
            *("epoch", "loss", _series(tables, losses)),
            log="y" if _falls_far(tables, losses) else "",
        )
    ]
    scores = {metric_name(name.removeprefix("val_")): name for name in tables.scores}
    if len(scores) == 1:
        scores = {"validation": tables.scores[0]}
    if _there(tables, scores):
        charts.append(
            Lines(
                tables.metric[:1].upper() + tables.metric[1:],
                "Measured on the validation split, in evaluation mode.",
                *("epoch", tables.metric, _series(tables, scores)),
            )
        )
    rates = numbers(tables.curves, "lr")
    if len(np.unique(rates[np.isfinite(rates)])) > 1:
        charts.append(
            Lines(
                *("Learning rate", "As it was at each evaluation.", "epoch", "learning rate"),
                _series(tables, {"next step": "lr"}),
            )
        )
    return charts


def _series(tables: HistoryTables, columns: Mapping[str, str]) -> pd.DataFrame:
    parts = [
        pd.DataFrame({"series": name, "x": tables.curves["epoch"], "y": tables.curves[column]})
        for name, column in columns.items()
        if np.isfinite(numbers(tables.curves, column)).any()
    ]
    return pd.concat(parts) if parts else pd.DataFrame({"series": ["none"], "x": 0.0, "y": 0.0})


def _there(tables: HistoryTables, columns: Mapping[str, str]) -> bool:
    return any(np.isfinite(numbers(tables.curves, column)).any() for column in columns.values())


def _falls_far(tables: HistoryTables, columns: Mapping[str, str]) -> bool:
    values = numbers(tables.curves, *columns.values())
    positive = values[np.isfinite(values) & (values > 0)]
    return len(positive) > 0 and positive.max() > _FALLS * positive.min()


def _told(tables: HistoryTables, thinned: int) -> Iterator[str]:
    """Yield what is to be said of the table of evaluations."""
    best = tables.curves.loc[tables.curves["step"] == tables.best]
    if np.isfinite(numbers(best, "val_loss")).any():
        yield "The network has the weights of the row in bold, whose validation loss is lowest."
    if thinned:
        yield f"{thinned} rows between are left out; history.csv has all."


def _score(value: float) -> str:
    return number(value, 4)


_WAYS = {
    "step": whole,
    "epoch": "{:.4g}".format,
    "lr": brief,
    "train_loss": brief,
    "val_loss": brief,
}
