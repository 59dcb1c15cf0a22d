"""A study's answer on the terminal."""

import math
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from normwise.report.wording import (
    as_given,
    brief,
    interval,
    number,
    places_for,
    pvalue,
    seconds,
    share,
    signed,
    whole,
)
from normwise.study import Study

_COLOURS = {"better": "bold green", "worse": "red", "equivalent": "cyan", "undecided": "yellow"}
_WIDTH = 132  # of a pipe or a file, which have none of their own

Row = dict[Any, Any]


@dataclass(frozen=True)
class Column:
    """One column of the table.

    Attributes:
        title: its header.
        cell: from a row of the summary to its text; variants' names may hold markup.
        rank: columns with the highest leave first where the terminal is narrow; 0 stays.
        style: of its cells.
        left: whether it holds words, set to the left.
    """

    title: str
    cell: Callable[[Row], str]
    rank: int = 0
    style: str = "none"
    left: bool = False


def show(study: Study) -> None:
    """Print table, verdict, notes and the path of the report to standard output.

    A terminal's width decides how many columns there are; the report has them all.
    """
    fixed = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _WIDTH
    console = Console(width=fixed, highlight=False)
    console.print(_table(study, console))
    console.print(f"\n[bold]{escape(study.verdict)}[/]")
    for note in study.notes:
        console.print(f"[dim]note: {escape(note)}[/]")
    if study.folder is not None:
        console.print(f"report: {escape(str(study.folder / 'report.html'))}", soft_wrap=True)


def _table(study: Study, console: Console) -> Table:
    """Return the widest table that fits, or the narrowest that there is."""
    rows: list[Row] = study.summary().to_dict("records")
    columns = _columns(study)
    unlimited = console.options.update(width=10_000)
    ranks = sorted({column.rank for column in columns}, reverse=True)
    tables = [_filled([c for c in columns if c.rank <= rank], rows) for rank in ranks]
    widths = [console.measure(table, options=unlimited).maximum for table in tables]
    fitting = (t for t, width in zip(tables, widths, strict=True) if width <= console.width)
    return next(fitting, tables[-1])


def _filled(columns: list[Column], rows: list[Row]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(
            column.title,
            justify="left" if column.left else "right",
            style=column.style,
            vertical="bottom",
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(column.cell(row) for column in columns))
    return table


def _columns(study: Study) -> list[Column]:
    summary = study.summary()
    places = places_for((summary["high"] - summary["low"]) / 2)
    target = "target" if study.results.target is None else as_given(study.results.target)
    return [
        Column("variant", _variant, left=True),
        Column(f"test\n{study.metric}", lambda row: number(row["estimate"], places)),
        Column("interval", lambda row: interval(row["low"], row["high"], places), 3, "dim"),
        Column("difference", lambda row: _signed(row, places)),
        Column("interval", lambda row: _difference_interval(row, places), 4, "dim"),
        Column("p", lambda row: "" if math.isnan(row["p"]) else pvalue(row["p"])),
        Column("verdict", _verdict, left=True),
        Column("train\nloss", lambda row: brief(row["train_loss"]), 5),
        Column("lower", _wins, 6, "dim"),
        Column(f"steps to\n{target}", lambda row: whole(row["steps_to_target"]), 1),
        Column("reached", lambda row: share(row["success"]), 2, "dim"),
        Column("seconds", lambda row: seconds(row["seconds"]), 7),
    ]


def _variant(row: Row) -> str:
    lost = f" [red]({row['diverged']} diverged)[/]" if row["diverged"] else ""
    return escape(row["variant"]) + lost


def _signed(row: Row, places: int) -> str:
    return "" if math.isnan(row["difference"]) else signed(row["difference"], places)


def _difference_interval(row: Row, places: int) -> str:
    return interval(row["difference_low"], row["difference_high"], places, sign=True)


def _verdict(row: Row) -> str:
    return f"[{_COLOURS.get(row['verdict'], 'dim')}]{row['verdict']}[/]"


def _wins(row: Row) -> str:
    return f"in {row['train_loss_wins']}/{row['pairs']}" if row["pairs"] else ""
