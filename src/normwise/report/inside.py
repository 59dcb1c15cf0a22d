"""Inside a network that was watched: its loss, its layers' outputs, its gradients and updates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from normwise.report import drawing
from normwise.report.columns import numbers, words
from normwise.report.distributions import NOTABLE, Hill, common_limits, draw_hill
from normwise.report.findings import TrainingTables
from normwise.report.palette import LIGHT, Pen
from normwise.report.wording import brief, share, shorten

WIDTH, MARGIN, ROW = 760, 190, 30
MOST = 40  # rows of a figure
DECADES = 20  # a loss that falls by more than this factor is drawn on a logarithmic axis
_FAR = 1000  # a range with powers of ten only at its ticks
_NAME = 26  # letters that fit into the margin
_PEN = Pen(0, "", "", "v1", ())


def draw_loss(tables: TrainingTables) -> Figure:
    """Draw the loss over the measured steps."""
    steps, values = numbers(tables.loss, "step", "value").T
    figure = drawing.sheet(WIDTH, 240)
    drawing.title(figure, "Loss")
    axes = drawing.box(figure, 60, 34, 16, 40)
    drawing.steps_axis(axes, float(steps.max()))
    finite = values[np.isfinite(values)]
    if len(finite) and finite.min() > 0 and finite.max() > DECADES * finite.min():
        axes.set_yscale("log")
        drawing.powers(axes.yaxis)
    else:
        drawing.plain_numbers(axes.yaxis)
    drawing.grid(axes)
    few = len(finite) < 3  # a line needs points to be seen between
    axes.plot(steps, values, color=_PEN.colour, linewidth=1.4, marker="o" if few else None)
    return figure


def draw_outputs(tables: TrainingTables) -> Figure:
    """Draw the distribution of each layer's output, from the input to the output of the network."""
    layers = words(tables.layers, "layer").tolist()
    rows = evenly(layers)
    types = dict(zip(layers, words(tables.layers, "type"), strict=True))
    told = dict(zip(layers, numbers(tables.layers, "std", "dead", "saturated"), strict=True))
    owners = words(tables.histograms, "layer")
    bins = numbers(tables.histograms, "left", "right", "density")
    hills = {name: hill for name in rows if (hill := Hill.of(bins[owners == name]))}
    figure, axes = _rows([f"{name}  {types[name]}".strip() for name in rows], "Outputs of layers")
    limits = common_limits(list(hills.values()))
    axes.set_xlim(*limits)
    drawing.plain_numbers(axes.xaxis)
    axes.axvline(0, color=LIGHT["grid"], linewidth=1, zorder=0)
    for row, name in enumerate(rows):
        if name in hills:
            draw_hill(axes, row, _PEN, hills[name], limits)
        _tell(axes, row, *told[name])
    return figure


def draw_weights(tables: TrainingTables) -> Figure:
    """Draw each parameter's gradient norms: the mean as a dot, the extremes as a line."""
    names = words(tables.weights, "parameter").tolist()
    rows = evenly(names)
    figures = dict(
        zip(names, numbers(tables.weights, "gradient", "lowest", "highest", "ratio"), strict=True)
    )
    figure, axes = _rows(rows, "Gradient norms of parameters")
    shown = [each for name in rows for each in figures[name][:3] if 0 < each < np.inf]
    low, high = (min(shown), max(shown)) if shown else (0.1, 1.0)
    axes.set_xscale("log")
    axes.set_xlim(low / 2, high * 2)
    drawing.powers(axes.xaxis)
    if high > _FAR * low:
        axes.xaxis.set_major_locator(LogLocator(10, numticks=6))
    drawing.grid(axes, "x")
    for row, name in enumerate(rows):
        mean, least, most, ratio = figures[name]
        middle = 0.4 - row
        axes.plot([max(least, low), most], [middle] * 2, color=_PEN.colour, linewidth=2, alpha=0.4)
        axes.plot([mean], [middle], "o", color=_PEN.colour, markersize=5)
        if np.isfinite(ratio):
            _note(axes, row, [(f"update {brief(ratio)}", LIGHT["ink"])])
    return figure


def evenly(names: Sequence[str]) -> list[str]:
    """Return at most `MOST` of the names, evenly chosen, with the first and the last.

    Example:
        >>> chosen = evenly([str(i) for i in range(100)])
        >>> len(chosen), chosen[0], chosen[-1]
        (40, '0', '99')
    """
    if len(names) <= MOST:
        return list(names)
    return [names[int(i)] for i in np.linspace(0, len(names) - 1, MOST).round()]


def _rows(labels: Sequence[str], title: str) -> tuple[Figure, Axes]:
    figure = drawing.sheet(WIDTH, 66 + ROW * len(labels))
    drawing.title(figure, title)
    axes = drawing.box(figure, MARGIN, 36, 110, 26)
    axes.set_ylim(1 - len(labels), 1)
    axes.set_yticks([])
    axes.spines["bottom"].set_visible(False)
    for row, label in enumerate(labels):
        axes.axhline(-row, color=LIGHT["rule"], linewidth=0.8, zorder=1)
        _write(axes, row, 0, -12, 8, shorten(label, _NAME), LIGHT["soft"], "right")
    return figure, axes


def _tell(axes: Axes, row: int, std: float, dead: float, saturated: float) -> None:
    lines = [] if np.isnan(std) else [(f"σ {brief(std)}", LIGHT["ink"])]
    for word, amount in (("dead", dead), ("saturated", saturated)):
        if amount >= NOTABLE:
            lines.append((f"{share(amount)} {word}", LIGHT["worse"]))
    _note(axes, row, lines)


def _note(axes: Axes, row: int, lines: list[tuple[str, str]]) -> None:
    for place, (text, colour) in enumerate(lines):
        up = 8 if len(lines) == 1 else 14 - 12 * place
        _write(axes, row, 1, 8, up, text, colour, "left")


def _write(
    axes: Axes, row: int, place: float, right: float, up: float, text: str, colour: str, side: str
) -> None:
    """Write beside a row, moved by pixels to the right and up from its left or right end."""
    axes.annotate(
        text,
        (place, -row),
        xycoords=axes.get_yaxis_transform(),
        xytext=(right, up),
        textcoords="offset points",
        color=colour,
        size=drawing.SMALL,
        ha=side,
        annotation_clip=False,
    )
