"""Inside the network: a layer's pre-activation over training, variants side by side."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from normwise.report import drawing
from normwise.report.palette import LIGHT, Pen, pens
from normwise.report.tables import StudyTables
from normwise.report.wording import brief, share, shorten, whole

MARGIN, ROW, GAP = 74, 50, 14
NOTABLE = 0.01  # shares below this are not worth a word
FAR = 3.0  # a cell wider than this many typical cells is cut


def draw_layer(tables: StudyTables, layer: str) -> Figure:
    """Draw one layer: a column per variant, a row per moment in training."""
    cells = tables.histograms[tables.histograms["layer"].astype(str) == layer]
    moments = sorted(cells["step"].unique())
    all_pens = list(pens(tables.variants, tables.baseline).values())
    column = min(220.0, max(120.0, (1080 - MARGIN) / len(all_pens)))
    figure = drawing.sheet(MARGIN + column * len(all_pens), 84 + ROW * len(moments))
    drawing.title(figure, layer_title(tables, layer))
    limits = cell_limits(cells)
    width, _ = drawing.size(figure)
    for place, pen in enumerate(all_pens):
        left = MARGIN + place * column
        axes = drawing.box(figure, left, 60, width - left - column + GAP, 24)
        _frame(axes, moments, limits)
        _heading(axes, pen, limit=int((column - GAP) / 7.5))
        if place == 0:
            _row_names(axes, moments)
        for row, moment in enumerate(moments):
            mine = cells[(cells["variant"] == pen.name) & (cells["step"] == moment)]
            _cell(axes, row, pen, mine, limits)
            _annotate(axes, row, pen, _statistics(tables, layer, pen.name, moment))
    return figure


def layer_title(tables: StudyTables, layer: str) -> str:
    """Return how a layer is called: its path and the activation behind it."""
    if not len(tables.layers):
        return f"Layer {layer}"
    names = tables.layers.loc[tables.layers["layer"].astype(str) == layer, "activation"]
    named = names.dropna().astype(str).unique()
    return f"Layer {layer}, before {named[0]}" if len(named) else f"Layer {layer}"


def cell_limits(cells: pd.DataFrame) -> tuple[float, float]:
    """Return an x range that shows the typical cell well and cuts the widest.

    Each cell reaches from its 0.5 % to its 99.5 % quantile. Around the median cell's middle the
    range reaches as far as the farthest cell on either side, but no farther than `FAR` times the
    median reach.

    Example:
        >>> cell = {"variant": "a", "layer": "1", "step": 0, "left": -1.0, "right": 1.0}
        >>> low, high = cell_limits(pd.DataFrame([cell | {"density": 0.5}]))
        >>> round(low, 2), round(high, 2)
        (-0.99, 0.99)
    """
    reaches = [
        _quantiles(cell, [0.005, 0.5, 0.995])
        for _, cell in cells.groupby(["variant", "step"], sort=False)
        if np.nansum(cell["density"]) > 0
    ]
    if not reaches:
        return -1.0, 1.0
    lows, middles, highs = np.array(reaches).T
    middle = float(np.median(middles))
    down, up = middle - lows, highs - middle
    low = middle - min(down.max(), FAR * float(np.median(down)))
    high = middle + min(up.max(), FAR * float(np.median(up)))
    return (low, high) if high > low else (middle - 1.0, middle + 1.0)


def mass(cell: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a histogram's bins in order, left and right, and the share of mass in each."""
    bins = cell.sort_values("left")[["left", "right", "density"]].to_numpy(dtype=float)
    left, right, density = bins[np.isfinite(bins).all(axis=1)].T
    weight = density * (right - left)
    return left, right, weight / weight.sum()


def _quantiles(cell: pd.DataFrame, levels: list[float]) -> np.ndarray:
    left, right, weight = mass(cell)
    return np.interp(levels, np.cumsum([0.0, *weight]), np.array([left[0], *right]))


def _statistics(tables: StudyTables, layer: str, variant: str, moment: float) -> pd.Series | None:
    table = tables.layers
    if not len(table):
        return None
    here = (
        (table["variant"] == variant)
        & (table["layer"].astype(str) == layer)
        & (table["step"] == moment)
    )
    return table[here].iloc[0] if here.any() else None


def _frame(axes: Axes, moments: list[float], limits: tuple[float, float]) -> None:
    axes.set_xlim(*limits)
    axes.set_ylim(-len(moments) + 1, 1.0)
    axes.set_yticks([])
    axes.spines["bottom"].set_visible(False)
    drawing.plain_numbers(axes.xaxis)
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.axvline(0, color=LIGHT["grid"], linewidth=1, zorder=0)
    for row in range(len(moments)):
        axes.axhline(-row, color=LIGHT["rule"], linewidth=0.8, zorder=1)


def _heading(axes: Axes, pen: Pen, limit: int) -> None:
    heading = axes.annotate(
        shorten(pen.label, limit),
        (0, 1),
        xycoords="axes fraction",
        xytext=(0, 12),
        textcoords="offset points",
        color=pen.colour,
        size=drawing.SMALL,
        weight="bold",
    )
    drawing.mark(heading, pen)


def _row_names(axes: Axes, moments: list[float]) -> None:
    for row, moment in enumerate(moments):
        axes.annotate(
            f"step {whole(moment)}",
            (0, -row),
            xycoords=axes.get_yaxis_transform(),
            xytext=(-12, 3),
            textcoords="offset points",
            color=LIGHT["soft"],
            size=drawing.SMALL,
            ha="right",
        )


def _cell(axes: Axes, row: int, pen: Pen, cell: pd.DataFrame, limits: tuple[float, float]) -> None:
    if not len(cell) or not np.nansum(cell["density"]) > 0:
        axes.annotate(
            "not measured",
            (0.5, -row),
            xycoords=axes.get_yaxis_transform(),
            xytext=(0, 4),
            textcoords="offset points",
            color=LIGHT["soft"],
            size=drawing.SMALL,
            ha="center",
        )
        return
    left, right, weight = mass(cell)
    height = weight / (right - left)
    x = np.array([left[0], *(left + right) / 2, right[-1]])
    y = np.array([0.0, *height, 0.0]) / height.max() * 0.86 - row
    hill = axes.fill_between(x, y, -row, color=pen.colour, alpha=0.3, linewidth=0, zorder=2 + row)
    (crest,) = axes.plot(x, y, color=pen.colour, linewidth=1.2, zorder=2.1 + row)
    drawing.mark(hill, pen)
    drawing.mark(crest, pen)
    middles = (left + right) / 2
    for beyond, edge, text in (
        (weight[middles < limits[0]].sum(), 0.0, "‹ {}"),
        (weight[middles > limits[1]].sum(), 1.0, "{} ›"),
    ):
        if beyond >= NOTABLE:
            axes.annotate(
                text.format(share(beyond)),
                (edge, -row),
                xycoords=axes.get_yaxis_transform(),
                xytext=(0, 4),
                textcoords="offset points",
                color=LIGHT["soft"],
                size=9,
                ha="left" if edge == 0 else "right",
            )


def _annotate(axes: Axes, row: int, pen: Pen, statistics: pd.Series | None) -> None:
    if statistics is None or np.isnan(float(statistics["std"])):
        return
    lines = [(f"σ {brief(float(statistics['std']))}", LIGHT["ink"])]
    for word in ("dead", "saturated"):
        amount = float(statistics[word])
        if amount >= NOTABLE:
            lines.append((f"{share(amount)} {word}", LIGHT["worse"]))
    for number, (text, colour) in enumerate(lines):
        written = axes.annotate(
            text,
            (1, -row + 1),
            xycoords=axes.get_yaxis_transform(),
            xytext=(0, -14 - 12 * number),
            textcoords="offset points",
            color=colour,
            size=9.5,
            ha="right",
        )
        drawing.mark(written, pen)
