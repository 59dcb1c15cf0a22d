"""Curves with bands, in one panel or several side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from normwise.report.charts.chart import need
from normwise.report.columns import numbers, words
from normwise.report.palette import LIGHT, Pen, pens

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 760, 340
PANEL = 250  # width of one of several panels
LEFT, TOP, BOTTOM = 58, 52, 44


@dataclass(frozen=True, eq=False)
class Lines:
    """Curves, labelled where they end.

    Attributes:
        title: what is shown.
        caption: what one sees in it.
        x: label of the horizontal axis, with its unit.
        y: label of the vertical axis, with its unit.
        table: a row per point: `series`, `x`, `y`; where there are bands, `low` and `high`; where
            there are several panels, `panel`, their title. Panels share the axes.
        baseline: the series that is drawn in grey.
        log: axes that are logarithmic.
        level: a value of y that matters, drawn as a line across.
        level_label: what it is.
        points: data to scatter below the curves, as `x` and `y`, the same in every panel.
        limits: of the vertical axis, where the data's own would hide something.

    Raises:
        UsageError: the table lacks columns or rows.

    Example:
        >>> import pandas as pd
        >>> table = pd.DataFrame({"series": "sine", "x": [0.0, 1.0], "y": [0.0, 0.84]})
        >>> Lines("Sine", "It rises.", "angle (rad)", "value", table).title
        'Sine'
    """

    title: str
    caption: str
    x: str
    y: str
    table: pd.DataFrame
    baseline: str = ""
    log: Literal["", "x", "y", "xy"] = ""
    level: float | None = None
    level_label: str = ""
    points: pd.DataFrame | None = None
    limits: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        need("lines", self.table, "series", "x", "y")

    def draw(self) -> Figure:
        """Draw it."""
        from normwise.report import drawing

        chosen = pens(list(dict.fromkeys(words(self.table, "series").tolist())), self.baseline)
        room = drawing.label_room([pen.label for pen in chosen.values()])
        panels = self._panels()
        single = len(panels) == 1
        inner = WIDTH - LEFT - room if single else PANEL * len(panels)
        figure = drawing.sheet(LEFT + inner + room, HEIGHT if single else HEIGHT - 40)
        drawing.title(figure, self.title)
        width, _ = drawing.size(figure)
        column = inner / len(panels)
        axes, ends = None, []
        for place, (name, rows) in enumerate(panels.items()):
            left = LEFT + place * column
            gap = 0 if single else 26
            right = width - left - column + gap
            axes = drawing.box(figure, left, TOP + (0 if single else 20), right, BOTTOM)
            ends = self._panel(axes, rows, chosen, name, first=place == 0)
        assert axes is not None
        drawing.end_labels(axes, ends)
        return figure

    def _panels(self) -> dict[str, np.ndarray]:
        """Return for each panel, by title, which rows of the table are its."""
        if "panel" not in self.table:
            return {"": np.ones(len(self.table), dtype=bool)}
        panels = words(self.table, "panel")
        return {name: panels == name for name in dict.fromkeys(panels.tolist())}

    def _panel(
        self, axes: Axes, rows: np.ndarray, chosen: dict[str, Pen], name: str, first: bool
    ) -> list[tuple[Pen, float, str]]:
        from normwise.report import drawing

        drawing.grid(axes)
        if self.points is not None:
            x, y = numbers(self.points, "x", "y").T
            axes.plot(x, y, "o", color=LIGHT["soft"], markersize=3, alpha=0.55, zorder=1.5)
        ends = [
            (pen, self._series(axes, rows & (words(self.table, "series") == pen.name), pen))
            for pen in chosen.values()
        ]
        if name:
            axes.set_title(name, loc="left", size=drawing.SMALL, color=LIGHT["ink"], pad=6)
        self._axes(axes, first)
        if self.level is not None:
            self._level(axes, first)
        return [(pen, y, pen.label) for pen, y in ends if not np.isnan(y)]

    def _series(self, axes: Axes, rows: np.ndarray, pen: Pen) -> float:
        """Draw one curve and return where it ends."""
        from normwise.report import drawing

        if not rows.any():
            return np.nan
        x, y = numbers(self.table, "x", "y")[rows].T
        if "low" in self.table:
            low, high = numbers(self.table, "low", "high")[rows].T
            band = axes.fill_between(
                x, low, high, color=pen.colour, alpha=0.14, linewidth=0, zorder=2
            )
            drawing.mark(band, pen)
        few = {"marker": "o", "markersize": 4} if len(x) <= 8 else {}
        (line,) = axes.plot(x, y, color=pen.colour, linewidth=2, zorder=3, **few)
        if pen.dashes:
            line.set_dashes(pen.dashes)
        drawing.mark(line, pen)
        finite = y[np.isfinite(y)]
        return float(finite[-1]) if len(finite) else np.nan

    def _axes(self, axes: Axes, first: bool) -> None:
        from normwise.report import drawing

        for letter, axis, scale in (
            ("x", axes.xaxis, axes.set_xscale),
            ("y", axes.yaxis, axes.set_yscale),
        ):
            if letter in self.log:
                scale("log")
                drawing.powers(axis)
            else:
                drawing.plain_numbers(axis)
        x = numbers(self.table, "x")[:, 0]
        finite = x[np.isfinite(x)]
        if len(finite) and finite.min() < finite.max():
            axes.set_xlim(finite.min(), finite.max())
        axes.set_ylim(*(self.limits or self._limits()))
        if not first:
            axes.tick_params(labelleft=False)
        axes.set_xlabel(self.x, color=LIGHT["soft"], size=drawing.SMALL, labelpad=3)
        if first:
            axes.annotate(
                self.y,
                (0, 1),
                xycoords="axes fraction",
                xytext=(-LEFT + 4, 9 if not axes.get_title(loc="left") else 24),
                textcoords="offset points",
                color=LIGHT["soft"],
                size=drawing.SMALL,
            )

    def _limits(self) -> tuple[float, float]:
        """Return a range in which curves and bands, scattered points and the level are seen."""
        from normwise.report import drawing

        columns = [name for name in ("y", "low", "high") if name in self.table]
        y = numbers(self.table, *columns).ravel()
        extra = [] if self.points is None else numbers(self.points, "y")[:, 0].tolist()
        extra += [] if self.level is None else [self.level]
        if "y" in self.log:
            positive = np.log(y[np.isfinite(y) & (y > 0)])
            low, high = np.exp(drawing.robust_limits(positive) or (-1.0, 1.0))
            low, high = min([low, *(v for v in extra if v > 0)]), max([high, *extra])
            return low / 1.15, high * 1.15
        low, high = drawing.robust_limits(y) or (0.0, 1.0)
        low, high = min([low, *extra]), max([high, *extra])
        pad = 0.05 * (high - low) or 0.1 * abs(high) or 0.1
        return low - pad, high + pad

    def _level(self, axes: Axes, first: bool) -> None:
        from normwise.report import drawing

        assert self.level is not None
        axes.axhline(self.level, color=LIGHT["soft"], linewidth=1, dashes=(3, 3), zorder=1.8)
        if first and self.level_label:
            axes.annotate(
                self.level_label,
                (0, self.level),
                xycoords=axes.get_yaxis_transform(),
                xytext=(6, 4),
                textcoords="offset points",
                color=LIGHT["soft"],
                size=drawing.SMALL,
                zorder=9,
            )
