"""How soon runs reach the target: the share that has, against the steps."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from normwise.report import drawing
from normwise.report.columns import numbers, words
from normwise.report.palette import Pen, pens
from normwise.report.tables import StudyTables
from normwise.report.wording import as_given, share

WIDTH, HEIGHT = 480, 300


def draw_arrivals(tables: StudyTables) -> Figure:
    """Draw the Kaplan-Meier curve of every variant, with its interval."""
    assert tables.target is not None
    chosen = pens(tables.variants, tables.baseline).values()
    figure = drawing.sheet(WIDTH, HEIGHT)
    drawing.title(figure, f"Runs that have reached {tables.metric} {as_given(tables.target)}")
    axes = drawing.box(figure, 44, 34, drawing.label_room([pen.label for pen in chosen]), 42)
    drawing.grid(axes)
    drawing.steps_axis(axes, tables.budget)
    axes.set_ylim(-0.02, 1.03)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: share(value)))
    owners = words(tables.reached, "variant")
    curves = numbers(tables.reached, "step", "share", "low", "high")
    ends = []
    for pen in chosen:
        curve = curves[owners == pen.name]
        if len(curve):
            ends.append((pen, _steps(axes, pen, curve, tables.budget), pen.label))
    drawing.end_labels(axes, ends)
    return figure


def _steps(axes: Axes, pen: Pen, curve: np.ndarray, budget: int) -> float:
    """Draw one step function from step 0 to the budget; return where it ends."""
    curve = curve[np.argsort(curve[:, 0])]
    start = np.array([[0.0, 0.0, 0.0, 0.0]])
    end = curve[-1:].copy()
    end[0, 0] = max(budget, end[0, 0])
    step, reached, low, high = np.concatenate([start, curve, end]).T
    # While nobody has arrived all variants share one interval; drawn, it would hide the curves.
    band = axes.fill_between(
        step,
        low,
        high,
        where=reached > 0,
        step="post",
        color=pen.colour,
        alpha=0.1,
        linewidth=0,
        zorder=2,
    )
    (line,) = axes.plot(
        step, reached, drawstyle="steps-post", color=pen.colour, linewidth=2, zorder=3
    )
    if pen.dashes:
        line.set_dashes(pen.dashes)
    drawing.mark(band, pen)
    drawing.mark(line, pen)
    return float(reached[-1])
