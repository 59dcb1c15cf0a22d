"""A training's outcome on the terminal."""

import os
import sys

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from normwise.report import HistoryTables
from normwise.report.history import cells, headings
from normwise.study import Trained

_LAST = 5
_WIDTH = 132  # of a pipe or a file, which have none of their own


def show(trained: Trained) -> None:
    """Print the last evaluations, the verdict, notes, and where all is, to standard output."""
    fixed = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _WIDTH
    console = Console(width=fixed, highlight=False)
    console.print(_table(trained.tables()))
    console.print(f"\n[bold]{escape(trained.verdict)}[/]")
    for note in trained.notes:
        console.print(f"[dim]note: {escape(note)}[/]")
    if trained.folder is not None:
        for name, file in (("report", "report.html"), ("model", "model.safetensors")):
            console.print(f"{name}: {escape(str(trained.folder / file))}", soft_wrap=True)


def _table(tables: HistoryTables) -> Table:
    """Return the last evaluations, after the best one where it was earlier."""
    rows = tables.curves
    shown = rows.loc[(rows["step"] == tables.best) | (rows.index >= len(rows) - _LAST)]
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for title in headings(tables):
        table.add_column(escape(title.replace(" ", "\n", 1)), justify="right", vertical="bottom")
    for row in shown.to_dict("records"):
        best = row["step"] == tables.best
        table.add_row(*map(escape, cells(row)), style="bold green" if best else "none")
    return table
