"""Distributions as hills: a column per series, a row per moment or layer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from normwise.report.charts.chart import need
from normwise.report.columns import numbers, words
from normwise.report.palette import LIGHT, Pen, pens

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, ROW, TOP, BOTTOM, GAP = 1000, 50, 60, 42, 18
_SHOWN = (0.001, 0.999)  # the quantiles between which a histogram is drawn


@dataclass(frozen=True, eq=False)
class Hills:
    """Histograms that share the horizontal axis, each as tall as its row.

    Attributes:
        title: what is shown.
        caption: what one sees in it.
        x: label of the axis, with its unit.
        table: a row per bin: `column`, `row`, `left`, `right`, `density`; `hill_rows` makes them.
            `note`, where it is there, is written at the right of the hill.
        baseline: the column that is drawn in grey.

    Raises:
        UsageError: the table lacks columns or rows.

    Example:
        >>> import pandas as pd
        >>> table = pd.DataFrame(hill_rows("plain", "step 0", [0.0, 1.0, 1.5, 2.0]))
        >>> Hills("Activations", "One hill.", "activation", table).title
        'Activations'
    """

    title: str
    caption: str
    x: str
    table: pd.DataFrame
    baseline: str = ""

    def __post_init__(self) -> None:
        need("hills", self.table, "column", "row", "left", "right", "density")

    def draw(self) -> Figure:
        """Draw it."""
        from normwise.report import drawing
        from normwise.report.distributions import Hill, common_limits, draw_hill

        columns, rows = words(self.table, "column"), words(self.table, "row")
        bins = numbers(self.table, "left", "right", "density")
        chosen = list(pens(list(dict.fromkeys(columns.tolist())), self.baseline).values())
        moments = list(dict.fromkeys(rows.tolist()))
        cells = {
            (pen.name, moment): hill
            for pen in chosen
            for moment in moments
            if (hill := Hill.of(bins[(columns == pen.name) & (rows == moment)]))
        }
        limits = common_limits(list(cells.values()))
        margin = 20 + 6.6 * max(map(len, moments))
        column = min(320.0, (WIDTH - margin) / len(chosen))
        figure = drawing.sheet(margin + column * len(chosen), TOP + ROW * len(moments) + BOTTOM)
        drawing.title(figure, self.title)
        width, _ = drawing.size(figure)
        for place, pen in enumerate(chosen):
            left = margin + place * column
            axes = drawing.box(figure, left, TOP, width - left - column + GAP, BOTTOM)
            self._frame(axes, pen, moments if place == 0 else [], len(moments), limits)
            for row, moment in enumerate(moments):
                if (pen.name, moment) in cells:
                    draw_hill(axes, row, pen, cells[pen.name, moment], limits)
                    self._note(axes, row, (columns == pen.name) & (rows == moment))
        return figure

    def _frame(
        self, axes: Axes, pen: Pen, moments: list[str], count: int, limits: tuple[float, float]
    ) -> None:
        from normwise.report import drawing

        axes.set_xlim(*limits)
        axes.set_ylim(1 - count, 1)
        axes.set_yticks([])
        axes.spines["bottom"].set_visible(False)
        drawing.plain_numbers(axes.xaxis)
        axes.set_xlabel(self.x, color=LIGHT["soft"], size=drawing.SMALL, labelpad=3)
        axes.axvline(0, color=LIGHT["grid"], linewidth=1, zorder=0)
        for row in range(count):
            axes.axhline(-row, color=LIGHT["rule"], linewidth=0.8, zorder=1)
        drawing.mark(_write(axes, 0, 0, 8, 1, pen.label, pen.colour, "left"), pen)
        for row, moment in enumerate(moments):
            _write(axes, 0, -12, 3, -row, moment, LIGHT["soft"], "right")

    def _note(self, axes: Axes, row: int, mine: np.ndarray) -> None:
        if "note" in self.table:
            _write(axes, 1, 0, -14, 1 - row, str(words(self.table, "note")[mine][0]), LIGHT["ink"])


def _write(
    axes: Axes,
    place: float,
    right: float,
    up: float,
    at: float,
    text: str,
    colour: str,
    side: str = "right",
):
    from normwise.report import drawing

    return axes.annotate(
        text,
        (place, at),
        xycoords=axes.get_yaxis_transform(),
        xytext=(right, up),
        textcoords="offset points",
        color=colour,
        size=drawing.SMALL,
        ha=side,
        zorder=50,
        annotation_clip=False,
    )


def hill_rows(
    column: str, row: str, values: ArrayLike, bins: int = 40, note: str = ""
) -> Iterable[dict[str, object]]:
    """Return one histogram as rows of the table of `Hills`, without what is not finite.

    Args:
        column: where it stands.
        row: where it stands.
        values: of any shape.
        bins: how many, between the 0.1 % and the 99.9 % quantile.
        note: what is written beside it.

    Example:
        >>> len(list(hill_rows("plain", "step 0", [0.0, 1.0, 2.0], bins=10)))
        10
    """
    taken = np.asarray(values, dtype=float).ravel()
    taken = taken[np.isfinite(taken)]
    left, right = np.quantile(taken, _SHOWN).tolist() if len(taken) else (0.0, 0.0)
    if left == right:
        left, right = left - 0.5, right + 0.5
    counts, edges = np.histogram(taken, bins, (left, right))
    density = counts / (max(1, len(taken)) * np.diff(edges))
    return [
        {"column": column, "row": row, "left": a, "right": b, "density": d, "note": note}
        for a, b, d in zip(edges[:-1].tolist(), edges[1:].tolist(), density.tolist(), strict=True)
    ]
