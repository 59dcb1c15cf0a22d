"""The page of findings: what is wrong, and the distributions that show it."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from normwise.report.columns import numbers, words
from normwise.report.figures import Plan
from normwise.report.findings import FINDINGS, FindingsTables, TrainingTables
from normwise.report.page import render, show
from normwise.report.wording import whole

_OUTPUTS = (
    "What each layer puts out, in the last measured steps; hills share the horizontal axis and are "
    "each as tall as their row; ‹ and › give the share beyond the axis. σ is the standard "
    "deviation over all measured steps; dead units gave nothing but zeros, saturated ones lie in "
    "the flat part of the activation."
)
_WEIGHTS = (
    "The Euclidean norm of each parameter's gradient: the mean over the measured steps, and the "
    "extremes. Beside it the size of an update relative to the weight."
)


def findings_page(tables: FindingsTables) -> str:
    """Write findings as one self-contained HTML page.

    It refers to nothing outside itself, follows the reader's light or dark theme, prints, and
    reads without JavaScript. The same tables give the same text.

    Example:
        >>> import pandas as pd
        >>> page = findings_page(FindingsTables("<a>.py", "Fine.", [], {}, pd.DataFrame(), []))
        >>> page.startswith("<!doctype html>"), "&lt;a&gt;.py" in page, "<a>" in page
        (True, True, False)
    """
    drawn = [
        show(_plans(training, number), f"figure{number}-")
        for number, training in enumerate(tables.trainings, start=1)
    ]
    return render(
        "findings.html",
        tables=tables,
        findings=_rows(tables),
        trainings=[
            {"name": training.name, "figures": figures}
            for training, figures in zip(tables.trainings, drawn, strict=True)
        ],
    )


def _rows(tables: FindingsTables) -> list[dict[str, Any]]:
    texts = [name for name in FINDINGS if name != "step"]
    columns = {name: words(tables.findings, name) for name in texts}
    steps = numbers(tables.findings, "step")[:, 0] if len(tables.findings) else []
    return [
        {name: column[row] for name, column in columns.items()}
        | {"step": "" if math.isnan(step) else whole(step)}
        for row, step in enumerate(steps)
    ]


def _plans(tables: TrainingTables, number: int) -> list[Plan]:
    from normwise.report.inside import draw_loss, draw_outputs, draw_weights

    found = []
    if len(tables.loss):
        caption = "The value that backward was called on, at the measured steps."
        found.append(Plan(f"loss-{number}", partial(draw_loss, tables), caption))
    if len(tables.layers):
        found.append(Plan(f"outputs-{number}", partial(draw_outputs, tables), _OUTPUTS))
    if len(tables.weights):
        found.append(Plan(f"weights-{number}", partial(draw_weights, tables), _WEIGHTS))
    return found
