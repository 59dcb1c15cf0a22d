"""What every chart is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from normwise.errors import UsageError
from normwise.report.figures import Plan

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


class Chart(Protocol):
    """A figure with a caption, from a plain table.

    Attributes:
        title: what is shown.
        caption: what one sees in it, in a sentence or two.

    Example:
        >>> import pandas as pd
        >>> from normwise.report import Lines
        >>> table = pd.DataFrame({"series": "sine", "x": [0.0, 1.0], "y": [0.0, 0.84]})
        >>> chart: Chart = Lines("Sine", "It rises.", "angle (rad)", "value", table)
        >>> chart.title
        'Sine'
    """

    @property
    def title(self) -> str:
        """What is shown."""
        ...

    @property
    def caption(self) -> str:
        """What one sees in it."""
        ...

    def draw(self) -> Figure:
        """Draw it; to be called within `drawing.look`."""
        ...


def chart_plans(name: str, charts: Iterable[Chart]) -> list[Plan]:
    """Name charts after what they belong to, for a page or for files.

    Example:
        >>> chart_plans("bn-speed", [])
        []
    """
    return [
        Plan(f"{name}-{place}", chart.draw, chart.caption)
        for place, chart in enumerate(charts, start=1)
    ]


def need(kind: str, table: pd.DataFrame, *columns: str) -> None:
    """Refuse a table that lacks columns or rows.

    Raises:
        UsageError: saying which.
    """
    absent = [column for column in columns if column not in table.columns]
    if absent:
        raise UsageError(
            f"a table for {kind} needs the columns {', '.join(columns)}; it lacks "
            f"{', '.join(absent)}"
        )
    if not len(table):
        raise UsageError(f"a table for {kind} has no rows, so there is nothing to draw")
