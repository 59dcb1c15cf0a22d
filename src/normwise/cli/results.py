"""The lab's results on the terminal."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from normwise.cli.options import Format
from normwise.lab import Number, Result
from normwise.lab.book import tally
from normwise.lab.numbers import grid
from normwise.report.wording import seconds

_COLOURS = {"holds": "bold green", "fails": "bold red", "inconclusive": "bold yellow"}
_WIDTH = 110  # of a pipe or a file, which have none of their own


def watched(results: Iterator[Result], output: Format) -> Iterator[Result]:
    """Pass results on and, for a reader, print each as it comes, with what is at work below."""
    aside = Console(stderr=True)
    while True:
        with aside.status("testing …") if aside.is_terminal else nullcontext():
            result = next(results, None)
        if result is None:
            return
        if output is Format.text:
            show_result(result)
        yield result


def show_result(result: Result) -> None:
    """Print verdict, statement, numbers and notes."""
    console = _console()
    colour = _COLOURS[result.verdict]
    console.print(
        f"[{colour}]{result.verdict}[/]  [bold]{result.claim.name}[/]  "
        f"{escape(result.claim.statement)}  [dim]{seconds(result.seconds)} s[/]"
    )
    console.print(Padding(numbers_table(result.numbers), (0, 0, 0, 4)))
    for note in result.notes:
        console.print(Padding(f"[dim]note: {escape(note)}[/]", (0, 0, 0, 4)))
    console.print()


def numbers_table(numbers: Sequence[Number]) -> Table:
    """Return the numbers as a table, without a header where there is but one column of them."""
    header, rows = grid(numbers)
    table = Table(
        box=None, pad_edge=False, show_header=any(header), padding=(0, 2, 0, 0), header_style="dim"
    )
    for title in header:
        table.add_column(escape(title))
    for row in rows:
        table.add_row(*(escape(" ".join(cell).strip()) for cell in row))
    return table


def show_summary(results: Sequence[Result], page: Path | None) -> None:
    """Print how many claims hold, which do not, and where the book is."""
    console = _console()
    if len(results) > 1:
        total = seconds(sum(result.seconds for result in results))
        console.print(f"[bold]{tally(results)}[/] [dim]{total} s[/]")
    if page is not None:
        console.print(f"book: {escape(str(page))}", soft_wrap=True)


def _console() -> Console:
    fixed = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _WIDTH
    return Console(width=fixed, highlight=False)
