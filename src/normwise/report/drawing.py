"""The sheet that figures are drawn on: one look, sizes in pixels, marks that know their variant.

Figures are drawn in the light theme's colours; `normwise.report.svg` turns these into the page's
own, so that a figure follows light and dark.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from scipy.optimize import isotonic_regression

from normwise.report.palette import LIGHT, Pen
from normwise.report.wording import as_given, brief, whole

DOT = 72  # dots per inch, so that matplotlib's points are pixels
TEXT, SMALL = 12.0, 10.5
LOOK: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": TEXT,
    "text.color": LIGHT["ink"],
    "text.parse_math": False,  # a variant's name may hold a dollar sign
    "axes.edgecolor": LIGHT["rule"],
    "axes.facecolor": "none",
    "figure.facecolor": LIGHT["paper"],
    "lines.solid_capstyle": "round",
    "svg.fonttype": "none",
    "svg.hashsalt": "normwise",
}


def look() -> AbstractContextManager[None]:
    """Return the context in which figures are made and saved."""
    return matplotlib.rc_context(LOOK)


def sheet(width: float, height: float) -> Figure:
    """Make an empty figure, in pixels."""
    return Figure(figsize=(width / DOT, height / DOT), dpi=DOT)


def size(figure: Figure) -> tuple[float, float]:
    """Return a figure's width and height in pixels."""
    width, height = figure.get_size_inches()
    return width * DOT, height * DOT


def box(figure: Figure, left: float, top: float, right: float, bottom: float) -> Axes:
    """Add axes that keep these distances, in pixels, from the figure's edges."""
    width, height = size(figure)
    place = (left / width, bottom / height)
    axes = figure.add_axes(
        (*place, (width - left - right) / width, (height - top - bottom) / height)
    )
    axes.tick_params(which="minor", length=0)
    axes.spines[["top", "left", "right"]].set_visible(False)
    axes.tick_params(
        color=LIGHT["rule"], labelcolor=LIGHT["soft"], labelsize=SMALL, length=0, pad=5
    )
    return axes


def title(figure: Figure, text: str) -> None:
    """Write a figure's title at its top left, and note it as the figure's label."""
    figure.set_label(text)
    _, height = size(figure)
    figure.text(0.0, 1 - 15 / height, text, weight="bold", size=TEXT)


def mark(artist: Artist, pen: Pen) -> None:
    """Note whose an artist is, so that the page can highlight one variant in all figures."""
    artist.set_gid(f"variant-{pen.index}")


def plain_numbers(axis: Axis) -> None:
    """Write few ticks, without powers of ten or offsets."""
    axis.set_major_locator(MaxNLocator(5))
    axis.set_major_formatter(FuncFormatter(lambda value, _: as_given(value)))


def powers(axis: Axis) -> None:
    """Write the ticks of a logarithmic axis as plain numbers."""
    axis.set_major_locator(_Powers(10, numticks=8))
    axis.set_major_formatter(FuncFormatter(lambda value, _: _power(value)))
    axis.set_minor_formatter(NullFormatter())


class _Powers(LogLocator):
    """Powers of ten, and 2 and 5 between them where there are few."""

    def tick_values(self, vmin: float, vmax: float) -> Any:
        self.set_params(subs=(1.0, 2.0, 5.0) if vmax < 1000 * vmin else (1.0,))
        return super().tick_values(vmin, vmax)


def _power(value: float) -> str:
    return f"{value:g}" if 1e-4 <= value < 1e5 else brief(value)


def steps_axis(axes: Axes, last: float) -> None:
    """Let x be training steps from 0 to the last."""
    axes.set_xlim(0, max(1.0, last))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: whole(value)))
    axes.set_xlabel("step", color=LIGHT["soft"], size=SMALL, labelpad=2)


def grid(axes: Axes, which: Literal["x", "y"] = "y") -> None:
    """Draw faint lines at one axis's ticks, below everything."""
    axes.set_axisbelow(True)
    axes.grid(axis=which, color=LIGHT["grid"], linewidth=1)


def label_room(labels: Sequence[str]) -> float:
    """Return the pixels that `end_labels` needs right of the axes."""
    return 24 + 7.0 * max(map(len, labels))


def end_labels(axes: Axes, ends: Sequence[tuple[Pen, float, str]]) -> None:
    """Name lines where they end, right of the axes, moved apart where they would touch.

    Args:
        axes: with their final limits.
        ends: per line its pen, its last y (NaN where it ends before the edge) and the label.
    """
    figure = axes.figure
    assert isinstance(figure, Figure)
    width, height = size(figure)
    frame = axes.get_position()
    low, high = axes.get_ylim()
    at = [np.clip(y, low, high) if np.isfinite(y) else low for _, y, _ in ends]
    wanted = [axes.transData.transform((0, y))[1] / height for y in at]
    placed = spread(wanted, 15 / height, frame.y0, frame.y1)
    edge = frame.x1
    for (pen, y, text), start, end in zip(ends, wanted, placed, strict=True):
        if np.isfinite(y):
            xs = [edge + 3 / width, edge + 8 / width, edge + 13 / width, edge + 17 / width]
            leader = Line2D(xs, [start, start, end, end], color=pen.colour, linewidth=1, alpha=0.6)
            leader.set_transform(figure.transFigure)
            mark(figure.add_artist(leader), pen)
        written = figure.text(
            edge + 21 / width,
            end - 4.2 / height,
            text,
            color=pen.colour,
            size=SMALL,
        )
        mark(written, pen)


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> np.ndarray:
    """Move positions as little as possible until they stand a gap apart within bounds.

    With ranks i, the positions less ``i * gap`` only have to be in order: isotonic regression is
    the least-squares answer, and clipping it keeps it so.

    Args:
        wanted: positions, in any order.
        gap: the smallest distance; less where the bounds leave no room for it.
        low: lower bound.
        high: upper bound.

    Returns:
        The positions, in the order of `wanted`.

    Example:
        >>> spread([0.5, 0.5, 0.0], gap=0.2, low=0.0, high=1.0)
        array([0.4, 0.6, 0. ])
    """
    gap = min(gap, (high - low) / max(1, len(wanted) - 1))
    order = np.argsort(wanted, kind="stable")
    ranks = np.arange(len(wanted)) * gap
    moved = isotonic_regression(np.asarray(wanted, dtype=float)[order] - ranks).x
    result = np.empty(len(wanted))
    result[order] = np.clip(moved, low, max(low, high - (len(wanted) - 1) * gap)) + ranks
    return result


def robust_limits(values: np.ndarray) -> tuple[float, float] | None:
    """Return the range of the finite values without far outliers, or None where there is none.

    Far is beyond ten interquartile ranges from the quartiles: a learning curve's steep start is
    none, a diverging run is.
    """
    finite = values[np.isfinite(values)]
    if not len(finite):
        return None
    first, third = np.quantile(finite, [0.25, 0.75])
    with np.errstate(over="ignore"):
        reach = 10 * (third - first)
    inside = finite[(finite >= first - reach) & (finite <= third + reach)]
    return float(inside.min()), float(inside.max())
