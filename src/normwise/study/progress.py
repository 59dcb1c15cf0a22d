"""What a study shows while it runs: runs, steps, time left, and who leads."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from normwise.study.record import Record

if TYPE_CHECKING:
    import rich.progress


class Progress(Protocol):
    """Told by a study how far it is."""

    def advanced(self, doing: str, steps: int) -> None:
        """Some runs have taken this many more steps, all together."""
        ...

    def finished(self, record: Record) -> None:
        """A run is over."""
        ...


class Quiet:
    """Shows nothing."""

    def advanced(self, doing: str, steps: int) -> None:
        """Show nothing."""

    def finished(self, record: Record) -> None:
        """Show nothing."""


class Bar:
    """One line on the terminal's error stream."""

    def __init__(self, bar: rich.progress.Progress, runs: int, steps: int) -> None:
        self._bar, self._runs = bar, runs
        self._task = bar.add_task(
            "", total=runs * steps, place=f"0/{runs} runs", current="", leader=""
        )
        self._done = 0
        self._scores: dict[str, list[float]] = {}

    def advanced(self, doing: str, steps: int) -> None:
        """Name what is at work, and move on."""
        self._bar.update(self._task, advance=steps, current=doing)

    def finished(self, record: Record) -> None:
        """Count the run and its result, and name the leader."""
        self._done += 1
        self._bar.update(self._task, place=f"{self._done}/{self._runs} runs")
        score = record.outcome.evaluations[-1].val_metric
        kept = score if math.isfinite(score) else -math.inf
        self._scores.setdefault(record.variant, []).append(kept)
        means = {name: sum(scores) / len(scores) for name, scores in self._scores.items()}
        leader = max(means, key=lambda name: means[name])
        if math.isfinite(means[leader]):
            self._bar.update(self._task, leader=f"best {means[leader]:.3f}: {leader}")


@contextmanager
def showing(wanted: bool | None, runs: int, steps: int) -> Iterator[Progress]:
    """Show progress on a terminal.

    Args:
        wanted: yes, no, or None to show it where standard error is a terminal.
        runs: how many runs there are to do.
        steps: of each run.
    """
    if not (sys.stderr.isatty() if wanted is None else wanted) or not runs:
        yield Quiet()
        return
    from rich import progress
    from rich.console import Console
    from rich.table import Column

    def text(shown: str, style: str = "none", ratio: int | None = None) -> progress.TextColumn:
        """A column of one line, cut where the terminal ends; names are shown as they are."""
        column = Column(no_wrap=True, overflow="ellipsis", ratio=ratio)
        return progress.TextColumn(shown, style, markup=False, table_column=column)

    columns = (
        text("{task.fields[place]}"),
        progress.BarColumn(bar_width=16),
        text("{task.completed:.0f}/{task.total:.0f} steps"),
        progress.TimeRemainingColumn(),
        text("{task.fields[current]}", "dim", ratio=1),
        text("{task.fields[leader]}", "bold", ratio=1),
    )
    console = Console(stderr=True)
    with progress.Progress(*columns, console=console, transient=True, expand=True) as bar:
        yield Bar(bar, runs, steps)
