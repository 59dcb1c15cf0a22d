"""A study's summary as a terminal table."""

import math
import sys
from typing import Any

from rich.console import Console
from rich.table import Table

from normwise.study import Study

_COLOURS = {"better": "bold green", "worse": "red", "equivalent": "cyan", "undecided": "yellow"}
_WIDTH = 132  # of a pipe or a file, which have none of their own


def show(study: Study) -> None:
    """Print table, verdict, notes and the path of the report to standard output."""
    console = Console(width=None if sys.stdout.isatty() else _WIDTH, highlight=False)
    console.print(_table(study))
    console.print(f"\n[bold]{_escaped(study.verdict)}[/]", soft_wrap=True)
    for note in study.notes:
        console.print(f"[dim]note: {_escaped(note)}[/]", soft_wrap=True)
    if study.folder is not None:
        console.print(f"report: {_escaped(str(study.folder / 'report.html'))}", soft_wrap=True)


def _table(study: Study) -> Table:
    metric = study.metric
    target = study.target
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("variant", no_wrap=True)
    table.add_column(f"test {metric}", justify="right")
    table.add_column("difference", justify="right")
    table.add_column("p", justify="right")
    table.add_column("verdict")
    table.add_column("train loss", justify="right")
    table.add_column(f"steps to {_number(target)}", justify="right")
    table.add_column("seconds", justify="right")
    for row in study.summary().to_dict("records"):
        table.add_row(*_cells(row, metric))
    return table


def _cells(row: dict[Any, Any], metric: str) -> tuple[str, ...]:
    verdict = row["verdict"]
    colour = _COLOURS.get(verdict, "dim")
    diverged = f" [red]({row['diverged']} diverged)[/]" if row["diverged"] else ""
    wins = f" [dim]{row['train_loss_wins']}/{row['pairs']}[/]" if row["pairs"] else ""
    return (
        _escaped(row["variant"]) + diverged,
        _interval(row["estimate"], row["low"], row["high"], metric),
        "" if verdict == "baseline" else _change(row, metric),
        "" if math.isnan(row["p"]) else f"{row['p']:.3f}",
        f"[{colour}]{verdict}[/]",
        f"{row['train_loss']:.4f}{wins}",
        f"{_number(row['steps_to_target'])} [dim]{100 * row['success']:.0f} %[/]",
        f"{row['seconds']:.2f}",
    )


def _interval(value: float, low: float, high: float, metric: str) -> str:
    scale, digits, unit = (100, 2, " %") if metric == "accuracy" else (1, 4, "")
    ends = f"{scale * low:.{digits}f}–{scale * high:.{digits}f}"
    bounds = f" [dim]{ends}[/]" if math.isfinite(low) and math.isfinite(high) else ""
    return f"{scale * value:.{digits}f}{unit}{bounds}"


def _change(row: dict[Any, Any], metric: str) -> str:
    scale, digits = (100, 2) if metric == "accuracy" else (1, 4)
    low, middle, high = (
        scale * row[key] for key in ("difference_low", "difference", "difference_high")
    )
    bounds = f"{low:+.{digits}f}…{high:+.{digits}f}" if math.isfinite(low) else "unbounded"
    return f"{middle:+.{digits}f} [dim]{bounds}[/]"


def _number(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.4g}"


def _escaped(text: str) -> str:
    return str(text).replace("[", r"\[")
