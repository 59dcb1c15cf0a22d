"""A study's answer on the terminal."""

import math
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd
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
    cell: Callable[[pd.Series], str]
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
    summary = study.summary()
    columns = _columns(study, summary)
    for least in sorted({column.rank for column in columns}, reverse=True):
        table = _filled(summary, [column for column in columns if column.rank <= least])
        if console.measure(table, options=console.options.update(width=10_000)).maximum <= (
            console.width
        ):
            break
    return table


def _filled(summary: pd.DataFrame, columns: list[Column]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(
            column.title,
            justify="left" if column.left else "right",
            style=column.style,
            overflow="fold",
        )
    for _, row in summary.iterrows():
        table.add_row(*(column.cell(row) for column in columns))
    return table


def _columns(study: Study, summary: pd.DataFrame) -> list[Column]:
    places = places_for((summary["high"] - summary["low"]) / 2)
    target = "target" if study.target is None else as_given(study.target)
    return [
        Column("variant", _variant, left=True),
        Column(f"test {study.metric}", lambda row: number(row["estimate"], places)),
        Column("interval", lambda row: interval(row["low"], row["high"], places), 2, "dim"),
        Column("difference", lambda row: _signed(row, places)),
        Column("interval", lambda row: _difference_interval(row, places), 3, "dim"),
        Column("p", lambda row: "" if math.isnan(row["p"]) else pvalue(row["p"])),
        Column("verdict", _verdict, left=True),
        Column("train loss", lambda row: brief(row["train_loss"]), 4),
        Column("lower", _wins, 5, "dim"),
        Column(f"steps to {target}", lambda row: whole(row["steps_to_target"]), 1),
        Column("reached", lambda row: share(row["success"]), 1, "dim"),
        Column("seconds", lambda row: seconds(row["seconds"]), 6),
    ]


def _variant(row: pd.Series) -> str:
    lost = f" [red]({row['diverged']} diverged)[/]" if row["diverged"] else ""
    return escape(row["variant"]) + lost


def _signed(row: pd.Series, places: int) -> str:
    return "" if math.isnan(row["difference"]) else signed(row["difference"], places)


def _difference_interval(row: pd.Series, places: int) -> str:
    return interval(row["difference_low"], row["difference_high"], places, sign=True)


def _verdict(row: pd.Series) -> str:
    return f"[{_COLOURS.get(row['verdict'], 'dim')}]{row['verdict']}[/]"


def _wins(row: pd.Series) -> str:
    return f"in {row['train_loss_wins']}/{row['pairs']}" if row["pairs"] else ""
