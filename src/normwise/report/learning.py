"""Learning curves: the mean over seeds with its interval, single runs behind it."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import stdtrit

from normwise.report import drawing
from normwise.report.columns import numbers, words
from normwise.report.palette import LIGHT, Pen, pens
from normwise.report.tables import StudyTables
from normwise.report.wording import as_given

WIDTH, HEIGHT = 480, 330
FEW_RUNS = 12  # beyond this, a variant's single runs hide its mean
WARM_UP = 0.2  # of the budget: the metric's axis begins at what is reached after it
DECADES = 20  # a loss that falls by more than this factor is drawn on a logarithmic axis


def draw_metric(tables: StudyTables) -> Figure:
    """Draw the validation metric of every variant over the steps, and the target."""
    column = f"val_{tables.metric_column}"
    figure, axes, ends = _draw(tables, column, f"Validation {tables.metric}")
    steps, values = numbers(tables.curves, "step", column).T
    late = values[steps >= WARM_UP * tables.budget]
    _scale(axes, late if np.isfinite(late).any() else values)
    if tables.target is not None:
        low, high = axes.get_ylim()
        axes.set_ylim(min(low, tables.target), max(high, tables.target + 0.02 * (high - low)))
        axes.axhline(tables.target, color=LIGHT["soft"], linewidth=1, dashes=(4, 3), zorder=1.5)
        axes.annotate(
            f"target {as_given(tables.target)}",
            (0, tables.target),
            xytext=(4, 4),
            textcoords="offset points",
            color=LIGHT["soft"],
            size=drawing.SMALL,
        )
    drawing.end_labels(axes, ends)
    return figure


def draw_loss(tables: StudyTables) -> Figure:
    """Draw the training loss of every variant over the steps."""
    figure, axes, ends = _draw(tables, "train_loss", "Training loss")
    _scale(axes, numbers(tables.curves, "train_loss"), log=True)
    drawing.end_labels(axes, ends)
    return figure


def mean_band(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mean over runs with its pointwise 95 % t-interval.

    Args:
        values: runs x steps; what is not finite counts as not there.

    Returns:
        Mean, low and high per step; NaN where no value is left, and low and high also where
        only one is.

    Example:
        >>> mean, low, high = mean_band(np.array([[1.0], [3.0]]))
        >>> float(mean[0]), round(float(high[0]), 3)
        (2.0, 14.706)
    """
    there = np.isfinite(values)
    n = there.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        mean = np.where(there, values, 0).sum(axis=0) / n
        deviations = np.where(there, values - mean, 0)
        half = np.sqrt((deviations**2).sum(axis=0) / (n - 1) / n) * stdtrit(n - 1, 0.975)
    half = np.where(n > 1, half, np.nan)
    return mean, mean - half, mean + half


def per_run(tables: StudyTables, variant: str, column: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a variant's steps, and its values as runs x steps; NaN where there is none."""
    mine = words(tables.curves, "variant") == variant
    seed, step, value = numbers(tables.curves, "seed", "step", column)[mine].T
    seeds, row = np.unique(seed, return_inverse=True)
    steps, place = np.unique(step, return_inverse=True)
    values = np.full((len(seeds), len(steps)), np.nan)
    values[row, place] = np.where(np.isfinite(value), value, np.nan)
    return steps, values


def _draw(
    tables: StudyTables, column: str, title: str
) -> tuple[Figure, Axes, list[tuple[Pen, float, str]]]:
    chosen = pens(tables.variants, tables.baseline).values()
    figure = drawing.sheet(WIDTH, HEIGHT)
    drawing.title(figure, title)
    axes = drawing.box(figure, 44, 30, drawing.label_room([pen.label for pen in chosen]), 38)
    drawing.grid(axes)
    ends = []
    for pen in chosen:
        steps, values = per_run(tables, pen.name, column)
        ends.append((pen, *_draw_variant(axes, pen, steps, values)))
    drawing.steps_axis(axes, tables.budget)
    return figure, axes, ends


def _draw_variant(axes: Axes, pen: Pen, steps: np.ndarray, values: np.ndarray) -> tuple[float, str]:
    mean, low, high = mean_band(values)
    measured = np.isfinite(mean)
    if not measured.any():
        return np.nan, f"{pen.label} ✕"
    if 1 < len(values) <= FEW_RUNS:
        for run in values:
            (line,) = axes.plot(steps, run, color=pen.colour, linewidth=0.7, alpha=0.22, zorder=2)
            drawing.mark(line, pen)
    band = axes.fill_between(
        steps, low, high, color=pen.colour, alpha=0.14, linewidth=0, zorder=2.5
    )
    drawing.mark(band, pen)
    lone = {"marker": "o", "markersize": 4} if measured.sum() == 1 else {}
    (line,) = axes.plot(
        steps[measured], mean[measured], color=pen.colour, linewidth=2, zorder=3, **lone
    )
    if pen.dashes:
        line.set_dashes(pen.dashes)
    drawing.mark(line, pen)
    arrived = measured[-1]
    return (float(mean[-1]), pen.label) if arrived else (np.nan, f"{pen.label} ✕")


def _scale(axes: Axes, values: np.ndarray, log: bool = False) -> None:
    limits = drawing.robust_limits(values)
    if limits is None:
        axes.set_ylim(0, 1)
        axes.set_yticks([])
        axes.text(0.5, 0.5, "nothing finite", ha="center", transform=axes.transAxes)
        return
    low, high = limits
    if log and low > 0 and high / low > DECADES:
        axes.set_yscale("log")
        axes.set_ylim(low / 1.15, high * 1.15)
        drawing.powers(axes.yaxis)
        return
    pad = 0.04 * (high - low) or 0.1 * abs(high) or 0.1
    axes.set_ylim(low - pad, high + pad)
    drawing.plain_numbers(axes.yaxis)
