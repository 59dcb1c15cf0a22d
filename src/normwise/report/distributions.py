"""Inside the network: a layer's pre-activation over training, variants side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.ticker import MaxNLocator

from normwise.report import drawing
from normwise.report.columns import numbers, words
from normwise.report.palette import LIGHT, Pen, pens
from normwise.report.tables import StudyTables
from normwise.report.wording import brief, share, shorten, whole

if TYPE_CHECKING:
    import pandas as pd

MARGIN, ROW, GAP = 74, 50, 14
NOTABLE = 0.01  # shares below this are not worth a word
FAR = 8.0  # in reaches of the median hill; what is farther does not widen the axis


def draw_layer(tables: StudyTables, layer: str) -> Figure:
    """Draw one layer: a column per variant, a row per moment in training."""
    cells = _by_cell(tables.histograms, layer, "left", "right", "density")
    statistics = _by_cell(tables.layers, layer, "std", "dead", "saturated")
    moments = sorted({moment for _, moment in cells})
    all_pens = list(pens(tables.variants, tables.baseline).values())
    column = min(220.0, max(120.0, (1080 - MARGIN) / len(all_pens)))
    figure = drawing.sheet(MARGIN + column * len(all_pens), 84 + ROW * len(moments))
    drawing.title(figure, layer_title(tables, layer))
    hills = {key: hill for key, bins in cells.items() if (hill := Hill.of(bins))}
    limits = common_limits(list(hills.values()))
    width, _ = drawing.size(figure)
    for place, pen in enumerate(all_pens):
        left = MARGIN + place * column
        axes = drawing.box(figure, left, 60, width - left - column + GAP, 24)
        _frame(axes, moments, limits)
        _heading(axes, pen, limit=int((column - GAP) / 7.5))
        for row, moment in enumerate(moments):
            if place == 0:
                _note(axes, row, 0, -12, 3, f"step {whole(moment)}", drawing.SMALL, "right")
            if (pen.name, moment) not in hills:
                _note(axes, row, 0.5, 0, 4, "not measured", drawing.SMALL, "center")
                continue
            draw_hill(axes, row, pen, hills[pen.name, moment], limits)
            for found in statistics.get((pen.name, moment), ()):
                _annotate(axes, row, pen, *found)
    return figure


def layer_title(tables: StudyTables, layer: str) -> str:
    """Return how a layer is called: its path and the activation behind it."""
    here = words(tables.layers, "layer") == layer
    named = words(tables.layers, "activation")[here]
    return f"Layer {layer}, before {named[0]}" if len(named) else f"Layer {layer}"


@dataclass(frozen=True)
class Hill:
    """One histogram.

    Attributes:
        left: the bins' left ends, ascending.
        right: their right ends.
        weight: the share of mass in each bin; sums to 1.
    """

    left: np.ndarray
    right: np.ndarray
    weight: np.ndarray

    @classmethod
    def of(cls, bins: np.ndarray) -> Hill | None:
        """Take bins (rows of left, right, density); None where they hold no mass."""
        bins = bins[np.isfinite(bins).all(axis=1)]
        left, right, density = bins[np.argsort(bins[:, 0])].T
        weight = density * (right - left)
        return cls(left, right, weight / weight.sum()) if weight.sum() > 0 else None

    def quantiles(self, levels: list[float]) -> np.ndarray:
        """Return quantiles, mass being spread evenly within a bin."""
        edges = np.array([self.left[0], *self.right])
        return np.interp(levels, np.cumsum([0.0, *self.weight]), edges)


def common_limits(hills: list[Hill]) -> tuple[float, float]:
    """Return an x range that shows every hill but the far ones.

    A hill's extent is from its 0.5 % to its 99.5 % quantile. It is far where it leaves the
    middle of the hills by more than `FAR` times what the median hill does: beside activations
    that explode the others are still to be seen.

    Example:
        >>> low, high = common_limits([Hill.of(np.array([[-1.0, 1.0, 0.5]]))])
        >>> round(low, 2), round(high, 2)
        (-0.99, 0.99)
    """
    if not hills:
        return -1.0, 1.0
    lows, middles, highs = np.array([hill.quantiles([0.005, 0.5, 0.995]) for hill in hills]).T
    middle = np.median(middles)
    reach = np.maximum(middle - lows, highs - middle)
    near = reach <= FAR * np.median(reach)
    return float(lows[near].min()), float(highs[near].max())


def _by_cell(table: pd.DataFrame, layer: str, *columns: str) -> dict[tuple[str, float], np.ndarray]:
    """Return one layer's rows of a table by variant and moment."""
    here = words(table, "layer") == layer
    variants = words(table, "variant")[here]
    steps = numbers(table, "step")[here, 0]
    values = numbers(table, *columns)[here]
    keys = list(zip(variants.tolist(), steps.tolist(), strict=True))
    rows: dict[tuple[str, float], list[int]] = {}
    for row, key in enumerate(keys):
        rows.setdefault(key, []).append(row)
    return {key: values[chosen] for key, chosen in rows.items()}


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


def _note(
    axes: Axes, row: int, place: float, right: float, up: float, text: str, size: float, side: str
) -> Annotation:
    """Write in a row: at a place of its width (0 to 1), moved by pixels to the right and up."""
    return axes.annotate(
        text,
        (place, -row),
        xycoords=axes.get_yaxis_transform(),
        xytext=(right, up),
        textcoords="offset points",
        color=LIGHT["soft"],
        size=size,
        ha=side,
        zorder=50,  # above every hill
    )


def draw_hill(axes: Axes, row: int, pen: Pen, hill: Hill, limits: tuple[float, float]) -> None:
    """Draw a hill in a row, and write what share of it lies beyond the limits."""
    height = hill.weight / (hill.right - hill.left)
    middles = (hill.left + hill.right) / 2
    x = np.array([hill.left[0], *np.stack([hill.left, hill.right], axis=1).ravel(), hill.right[-1]])
    y = np.array([0.0, *np.repeat(height, 2), 0.0]) / height.max() * 0.86 - row
    body = axes.fill_between(x, y, -row, color=pen.colour, alpha=0.3, linewidth=0, zorder=2 + row)
    (crest,) = axes.plot(x, y, color=pen.colour, linewidth=1.2, zorder=2.1 + row)
    drawing.mark(body, pen)
    drawing.mark(crest, pen)
    below, above = (hill.weight[out].sum() for out in (middles < limits[0], middles > limits[1]))
    if below >= NOTABLE:
        _note(axes, row, 0, 0, 4, f"‹ {share(below)}", 9, "left")
    if above >= NOTABLE:
        _note(axes, row, 1, 0, 4, f"{share(above)} ›", 9, "right")


def _annotate(axes: Axes, row: int, pen: Pen, std: float, dead: float, saturated: float) -> None:
    lines = [] if np.isnan(std) else [(f"σ {brief(std)}", LIGHT["ink"])]
    for word, amount in (("dead", dead), ("saturated", saturated)):
        if amount >= NOTABLE:
            lines.append((f"{share(amount)} {word}", LIGHT["worse"]))
    for place, (text, colour) in enumerate(lines):
        written = _note(axes, row - 1, 1, 0, -14 - 12 * place, text, 9.5, "right")
        written.set_color(colour)
        drawing.mark(written, pen)
