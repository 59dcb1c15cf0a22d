"""Computational graphs: every node with its value and its gradient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from normwise.errors import UsageError
from normwise.report.charts.chart import need
from normwise.report.columns import numbers, words
from normwise.report.palette import LIGHT
from normwise.report.wording import as_given

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BOX, COLUMN, ROW = (148, 50), 232, 78  # pixels
LEFT, TOP, BOTTOM = 8, 64, 16
_VALUE, _GRADIENT = "v1", "v2"

Edge = tuple[str, str]
Place = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Graph:
    """A computational graph: values run with the arrows, gradients against them.

    Nodes that nothing leads to stand at the left, in the order of the table; every other one a
    column right of the last that leads to it, at the mean height of those that do.

    Attributes:
        title: what is shown.
        caption: what one sees in it.
        nodes: a row per node: `node`, its name; `text`, what is written in the box; `value`;
            `gradient`, of the result with respect to it.
        edges: a row per arrow: `source` and `target`, names of nodes; `derivative`, of the target
            with respect to the source.

    Raises:
        UsageError: a table lacks columns or rows, an arrow begins or ends at no node, or arrows run
            in a circle.

    Example:
        >>> import pandas as pd
        >>> nodes = pd.DataFrame({
        ...     "node": ["x", "y"], "text": ["x", "y = x²"], "value": [3, 9], "gradient": [6, 1]
        ... })
        >>> edges = pd.DataFrame({"source": ["x"], "target": ["y"], "derivative": [6]})
        >>> Graph("Square", "One step.", nodes, edges).title
        'Square'
    """

    title: str
    caption: str
    nodes: pd.DataFrame
    edges: pd.DataFrame

    def __post_init__(self) -> None:
        need("the nodes of a graph", self.nodes, "node", "text", "value", "gradient")
        need("the edges of a graph", self.edges, "source", "target", "derivative")
        places(self._names, self._arrows)

    def draw(self) -> Figure:
        """Draw it."""
        from normwise.report import drawing

        at = places(self._names, self._arrows)
        columns, rows = (1 + max(axis) for axis in zip(*at.values(), strict=True))
        width = LEFT + COLUMN * (columns - 1) + BOX[0] + LEFT
        figure = drawing.sheet(width, TOP + ROW * (rows - 1) + BOX[1] + BOTTOM)
        drawing.title(figure, self.title)
        axes = drawing.box(figure, 0, 0, 0, 0)
        axes.set_axis_off()
        axes.set_xlim(0, width)
        axes.set_ylim(drawing.size(figure)[1], 0)
        _legend(axes)
        for edge, derivative in zip(
            self._arrows, numbers(self.edges, "derivative")[:, 0], strict=True
        ):
            _arrow(axes, at[edge[0]], at[edge[1]], derivative)
        texts = words(self.nodes, "text")
        values = numbers(self.nodes, "value", "gradient")
        for name, text, (value, gradient) in zip(self._names, texts, values, strict=True):
            _box(axes, at[name], text, value, gradient)
        return figure

    @property
    def _names(self) -> list[str]:
        return words(self.nodes, "node").tolist()

    @property
    def _arrows(self) -> list[Edge]:
        sources, targets = words(self.edges, "source"), words(self.edges, "target")
        return list(zip(sources.tolist(), targets.tolist(), strict=True))


def places(names: Sequence[str], arrows: Sequence[Edge]) -> Mapping[str, Place]:
    """Return the column and the row of every node; neither needs to be whole.

    Raises:
        UsageError: an arrow begins or ends at no node, or arrows run in a circle.

    Example:
        >>> places(["a", "b", "c"], [("a", "c"), ("b", "c")])
        {'a': (0, 0), 'b': (0, 1), 'c': (1, 0.5)}
    """
    unknown = {name for arrow in arrows for name in arrow} - set(names)
    if unknown:
        raise UsageError(f"arrows of a graph lead to or from {sorted(unknown)}, which is no node")
    sources = {name: [a for a, b in arrows if b == name] for name in names}
    first = [name for name in names if not sources[name]]
    at: dict[str, Place] = {name: (0, row) for row, name in enumerate(first)}
    while len(at) < len(names):
        ready = [n for n in names if n not in at and all(source in at for source in sources[n])]
        if not ready:
            raise UsageError("the arrows of a graph run in a circle, so that it has no first node")
        for name in ready:
            columns, rows = zip(*(at[source] for source in sources[name]), strict=True)
            at[name] = (1 + max(columns), float(np.mean(rows)))
    return at


def _centre(place: Place) -> Place:
    return LEFT + BOX[0] / 2 + COLUMN * place[0], TOP + BOX[1] / 2 + ROW * place[1]


def _legend(axes: Axes) -> None:
    from normwise.report import drawing

    x = float(LEFT)
    for text, token in (
        ("● value, from left to right", _VALUE),
        ("● gradient of the result, from right to left", _GRADIENT),
        ("on the arrows: derivative of the target", "soft"),
    ):
        axes.text(x, 40, text, color=LIGHT[token], size=drawing.SMALL)
        x += 20 + 5.6 * len(text)


def _arrow(axes: Axes, source: Place, target: Place, derivative: float) -> None:
    from normwise.report import drawing

    (x0, y0), (x1, y1) = _centre(source), _centre(target)
    x0, x1 = x0 + BOX[0] / 2, x1 - BOX[0] / 2
    axes.annotate(
        "",
        (x1, y1),
        (x0, y0),
        arrowprops={
            "arrowstyle": "-|>,head_width=0.22,head_length=0.5",
            "color": LIGHT["soft"],
            "linewidth": 1,
            "shrinkA": 0,
            "shrinkB": 0,
        },
    )
    # Near the target, where arrows from nodes in a column have parted from each other's boxes.
    share = 1 - (COLUMN - BOX[0]) / 2 / (x1 - x0)
    axes.text(
        x0 + share * (x1 - x0),
        y0 + share * (y1 - y0),
        f"×{as_given(derivative)}",
        color=LIGHT["soft"],
        size=drawing.SMALL,
        ha="center",
        va="center",
        bbox={"boxstyle": "square,pad=0.15", "facecolor": LIGHT["paper"], "edgecolor": "none"},
    )


def _box(axes: Axes, place: Place, text: str, value: float, gradient: float) -> None:
    from matplotlib.patches import FancyBboxPatch

    from normwise.report import drawing

    x, y = _centre(place)
    width, height = BOX
    patch = FancyBboxPatch(
        (x - width / 2, y - height / 2),
        width,
        height,
        "round,pad=0,rounding_size=6",
        facecolor=LIGHT["panel"],
        edgecolor=LIGHT["rule"],
        zorder=3,
    )
    axes.add_patch(patch)
    axes.text(x, y - 5, text, ha="center", color=LIGHT["ink"], size=drawing.TEXT, zorder=4)
    for side, number, token in ((-1, value, _VALUE), (1, gradient, _GRADIENT)):
        axes.text(
            x + side * width / 4,
            y + 16,
            as_given(number),
            ha="center",
            color=LIGHT[token],
            size=drawing.TEXT,
            weight="bold",
            zorder=4,
        )
