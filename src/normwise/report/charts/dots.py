"""Estimates with intervals: a row each, several series per row in colours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from normwise.report.charts.chart import need
from normwise.report.columns import numbers, words
from normwise.report.palette import LIGHT, Pen, pens
from normwise.report.wording import brief, shorten

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, ROW, TOP, BOTTOM = 760, 34, 46, 44
_NAME = 34  # letters of a row's name


@dataclass(frozen=True, eq=False)
class Dots:
    """Estimates as dots, their intervals as bars, the value written beside.

    Attributes:
        title: what is shown.
        caption: what one sees in it.
        x: label of the axis, with its unit.
        table: per dot `row` and `estimate`; where there are intervals, `low` and `high`; where a
            row holds several dots, `series`.
        baseline: the series that is drawn in grey.
        log: whether the axis is logarithmic; what is not positive is then left out.
        reference: a value that matters, drawn as a line.
        reference_label: what it is.

    Raises:
        UsageError: the table lacks columns or rows.

    Example:
        >>> import pandas as pd
        >>> table = pd.DataFrame({"row": ["plain", "batch"], "estimate": [1.0, 0.4]})
        >>> Dots("Steps", "Fewer.", "steps, as a share of plain's", table).title
        'Steps'
    """

    title: str
    caption: str
    x: str
    table: pd.DataFrame
    baseline: str = ""
    log: bool = False
    reference: float | None = None
    reference_label: str = ""

    def __post_init__(self) -> None:
        need("dots", self.table, "row", "estimate")

    def draw(self) -> Figure:
        """Draw it."""
        from normwise.report import drawing

        rows = list(dict.fromkeys(words(self.table, "row").tolist()))
        series = self._series()
        chosen = pens(list(dict.fromkeys(series)), self.baseline)
        slot = max(ROW, 15 * len(chosen) + 6)
        names = [shorten(row, _NAME) for row in rows]
        margin = 20 + 6.6 * max(map(len, names))
        legend = 22 if len(chosen) > 1 else 0
        figure = drawing.sheet(WIDTH, TOP + legend + slot * len(rows) + BOTTOM)
        drawing.title(figure, self.title)
        axes = drawing.box(figure, margin, TOP + legend, 84, BOTTOM)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_yticks(range(len(rows)), names, color=LIGHT["ink"])
        axes.tick_params(axis="y", labelcolor=LIGHT["ink"], pad=10)
        self._axis(axes)
        offsets = np.linspace(-0.5, 0.5, len(chosen) + 2)[1:-1] * 15 * (len(chosen) + 1) / slot
        for place, pen in enumerate(chosen.values()):
            for at, row in enumerate(rows):
                mine = (words(self.table, "row") == row) & (series == pen.name)
                if mine.any():
                    self._dot(axes, at + offsets[place], pen, mine)
        if legend:
            self._legend(figure, chosen, margin)
        return figure

    def _series(self) -> np.ndarray:
        if "series" in self.table:
            return words(self.table, "series")
        return np.full(len(self.table), "all", dtype=object)

    def _axis(self, axes: Axes) -> None:
        from normwise.report import drawing

        columns = [name for name in ("estimate", "low", "high") if name in self.table]
        values = numbers(self.table, *columns)
        shown = values[np.isfinite(values)]
        if self.reference is not None:
            shown = np.append(shown, self.reference)
        if self.log:
            shown = shown[shown > 0]
            axes.set_xscale("log")
            low, high = (shown.min(), shown.max()) if len(shown) else (0.1, 10.0)
            axes.set_xlim(low / 1.6, high * 1.6)
            drawing.powers(axes.xaxis)
        else:
            low, high = (shown.min(), shown.max()) if len(shown) else (0.0, 1.0)
            pad = 0.08 * (high - low) or 0.1 * abs(high) or 0.1
            axes.set_xlim(low - pad, high + pad)
            drawing.plain_numbers(axes.xaxis)
        drawing.grid(axes, "x")
        axes.set_xlabel(self.x, color=LIGHT["soft"], size=drawing.SMALL, labelpad=3)
        if self.reference is not None:
            axes.axvline(self.reference, color=LIGHT["soft"], linewidth=1, dashes=(3, 3))
            axes.annotate(
                self.reference_label,
                (self.reference, 1),
                xycoords=axes.get_xaxis_transform(),
                xytext=(0, 4),
                textcoords="offset points",
                color=LIGHT["soft"],
                size=drawing.SMALL,
                ha="center",
            )

    def _dot(self, axes: Axes, at: float, pen: Pen, mine: np.ndarray) -> None:
        from normwise.report import drawing

        estimate = float(numbers(self.table, "estimate")[mine][0, 0])
        if "low" in self.table:
            low, high = np.clip(numbers(self.table, "low", "high")[mine][0], *axes.get_xlim())
            (bar,) = axes.plot([low, high], [at, at], color=pen.colour, linewidth=4, alpha=0.35)
            drawing.mark(bar, pen)
        if np.isfinite(estimate) and (estimate > 0 or not self.log):
            (dot,) = axes.plot([estimate], [at], "o", color=pen.colour, markersize=7, zorder=4)
            drawing.mark(dot, pen)
        text = axes.annotate(
            brief(estimate),
            (1, at),
            xycoords=axes.get_yaxis_transform(),
            xytext=(10, -4),
            textcoords="offset points",
            color=pen.colour if "series" in self.table else LIGHT["ink"],
            size=drawing.SMALL,
            annotation_clip=False,
        )
        drawing.mark(text, pen)

    def _legend(self, figure: Figure, chosen: dict[str, Pen], margin: float) -> None:
        from normwise.report import drawing

        width, height = drawing.size(figure)
        x = margin
        for pen in chosen.values():
            written = figure.text(
                x / width, 1 - 40 / height, f"● {pen.label}", color=pen.colour, size=drawing.SMALL
            )
            drawing.mark(written, pen)
            x += 30 + 6.6 * len(pen.label)
