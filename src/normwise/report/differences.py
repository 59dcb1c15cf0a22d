"""Differences to the baseline: one row per variant, its interval against the zero line."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from normwise.report import drawing
from normwise.report.columns import numbers, words
from normwise.report.palette import LIGHT, Pen, pens
from normwise.report.tables import VERDICTS, StudyTables
from normwise.report.wording import NONE

WIDTH, ROW = 480, 38


def draw_differences(tables: StudyTables) -> Figure:
    """Draw each variant's difference in the test metric, with its interval and verdict."""
    chosen = pens(tables.variants, tables.baseline)
    others = [pen for name, pen in chosen.items() if name != tables.baseline]
    values = numbers(tables.summary, "difference", "difference_low", "difference_high")
    verdicts = words(tables.summary, "verdict")
    figure = drawing.sheet(WIDTH, 76 + ROW * len(others))
    drawing.title(figure, f"Test {tables.metric}, difference to {chosen[tables.baseline].label}")
    axes = drawing.box(figure, drawing.label_room([pen.label for pen in others]), 34, 92, 42)
    axes.set_ylim(len(others) - 0.5, -0.5)
    axes.set_yticks([])
    axes.set_xlim(*_limits(values))
    drawing.plain_numbers(axes.xaxis)
    drawing.grid(axes, "x")
    axes.axvline(0, color=LIGHT["soft"], linewidth=1.2, zorder=1.5)
    _directions(axes)
    for row, pen in enumerate(others):
        _row(axes, row, pen, values[pen.index], verdicts[pen.index])
    return figure


def _row(axes: Axes, row: int, pen: Pen, values: np.ndarray, verdict: str) -> None:
    difference, low, high = values
    left, right = axes.get_xlim()
    if not np.isnan([low, high]).any():
        ends = np.clip([low, high], left, right)
        (bar,) = axes.plot(ends, [row, row], color=pen.colour, linewidth=3.5, alpha=0.45)
        drawing.mark(bar, pen)
        for end, edge, arrow in ((low, left, "<"), (high, right, ">")):
            if end != np.clip(end, left, right):
                (tip,) = axes.plot(edge, row, arrow, color=pen.colour, markersize=7, clip_on=False)
                drawing.mark(tip, pen)
    if np.isfinite(difference):
        (dot,) = axes.plot(
            difference, row, "o", color=pen.colour, markersize=8, markeredgecolor=LIGHT["paper"]
        )
        drawing.mark(dot, pen)
    _beside(axes, row, pen, verdict)


def _directions(axes: Axes) -> None:
    for place, text, side in ((0, "← worse", "left"), (1, "better →", "right")):
        axes.annotate(
            text,
            (place, 0),
            xycoords="axes fraction",
            xytext=(0, -32),
            textcoords="offset points",
            color=LIGHT["soft"],
            size=drawing.SMALL,
            ha=side,
        )


def _beside(axes: Axes, row: int, pen: Pen, verdict: str) -> None:
    place = axes.get_yaxis_transform()
    name = axes.text(
        -0.035,
        row,
        pen.label,
        color=pen.colour,
        ha="right",
        va="center_baseline",
        transform=place,
    )
    drawing.mark(name, pen)
    word = axes.text(
        1.06,
        row,
        verdict if verdict in VERDICTS else NONE,
        color=LIGHT[verdict if verdict in VERDICTS else "soft"],
        weight="bold",
        size=drawing.SMALL,
        va="center_baseline",
        transform=place,
    )
    drawing.mark(word, pen)


def _limits(values: np.ndarray) -> tuple[float, float]:
    finite = np.append(values[np.isfinite(values)], 0.0)
    low, high = float(finite.min()), float(finite.max())
    pad = 0.12 * (high - low) or 1.0
    return low - pad, high + pad
