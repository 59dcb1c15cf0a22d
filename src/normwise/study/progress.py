"""What a study shows while it runs: runs, steps, time left, and who leads."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from normwise.study.record import Record


class Progress(Protocol):
    """Told by a study how far it is."""

    def started(self, variant: str, seed: int) -> None:
        """A run begins."""
        ...

    def stepped(self, step: int) -> None:
        """The current run has taken this many steps."""
        ...

    def finished(self, record: Record) -> None:
        """A run is over."""
        ...


class Quiet:
    """Shows nothing."""

    def started(self, variant: str, seed: int) -> None:
        """Show nothing."""

    def stepped(self, step: int) -> None:
        """Show nothing."""

    def finished(self, record: Record) -> None:
        """Show nothing."""


class Bar:
    """One line on the terminal's error stream."""

    def __init__(self, bar: "object", task: int, steps: int) -> None:
        self._bar, self._task, self._steps = bar, task, steps
        self._runs = 0
        self._best: dict[str, list[float]] = {}
        self._current = ""

    def started(self, variant: str, seed: int) -> None:
        """Name the run."""
        self._current = f"{variant}, seed {seed}"
        self.stepped(0)

    def stepped(self, step: int) -> None:
        """Move on."""
        self._bar.update(  # type: ignore[attr-defined]
            self._task,
            completed=self._runs * self._steps + step,
            run=self._runs + 1,
            current=self._current,
            leader=self._leader(),
        )

    def finished(self, record: Record) -> None:
        """Count the run and its result."""
        self._runs += 1
        last = record.outcome.evaluations[-1].val_metric
        self._best.setdefault(record.variant, []).append(last)

    def _leader(self) -> str:
        means = {name: sum(values) / len(values) for name, values in self._best.items()}
        if not means:
            return ""
        leader = max(means, key=lambda name: means[name])
        return f"{leader} leads with {means[leader]:.3f}"


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
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("run {task.fields[run]} of {task.fields[runs]}"),
        BarColumn(bar_width=24),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f} steps"),
        TimeRemainingColumn(),
        TextColumn("[dim]{task.fields[current]}[/]"),
        TextColumn("[bold]{task.fields[leader]}[/]"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        fields = {"run": 1, "runs": runs, "current": "", "leader": ""}
        yield Bar(bar, bar.add_task("", total=runs * steps, **fields), steps)
