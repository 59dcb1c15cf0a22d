"""What a single training shows while it runs: a bar for the epoch, and a line when it is over."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from normwise.report.wording import brief, metric_name, number
from normwise.stack import Budget, Evaluation

if TYPE_CHECKING:
    import rich.progress


class Shown:
    """Shows nothing."""

    def stepped(self, step: int) -> None:
        """A step was taken."""

    def evaluated(self, row: Evaluation) -> None:
        """The network was evaluated."""


class Epochs(Shown):
    """A bar on the terminal's error stream, and a line for every evaluation above it."""

    def __init__(self, bar: rich.progress.Progress, budget: Budget, metric: str) -> None:
        self._bar, self._budget, self._metric = bar, budget, metric
        self._task = bar.add_task("", total=budget.steps, told="")

    def stepped(self, step: int) -> None:
        """Move the bar."""
        self._bar.update(self._task, completed=step)

    def evaluated(self, row: Evaluation) -> None:
        """Print the line."""
        if row.step:
            self._bar.console.print(line(row, self._budget, self._metric), markup=False)


def line(row: Evaluation, budget: Budget, metric: str) -> str:
    """Say in one line what an evaluation found.

    Example:
        >>> row = Evaluation(20, 0.31, 0.35, 0.912, lr=0.01)
        >>> line(row, Budget(100, 64, 10, steps_per_epoch=10), "accuracy")
        'epoch  2/10  loss 0.310  validation loss 0.350  accuracy 0.9120  lr 0.0100'
    """
    epochs = budget.steps / budget.steps_per_epoch
    places = len(f"{epochs:g}")
    told = [f"epoch {row.step / budget.steps_per_epoch:>{places}.4g}/{epochs:g}"]
    told.append(f"loss {brief(row.train_loss)}")
    if row.val_loss == row.val_loss:
        told.append(f"validation loss {brief(row.val_loss)}")
        told.append(f"{metric} {number(row.val_metric, 4)}")
    told += [f"{metric_name(head)} {number(score, 4)}" for head, score in row.heads.items()]
    return "  ".join([*told, f"lr {brief(row.lr)}"])


@contextmanager
def showing_epochs(wanted: bool | None, budget: Budget, metric: str) -> Iterator[Shown]:
    """Show a training's progress on a terminal.

    Args:
        wanted: yes, no, or None to show it where standard error is a terminal.
        budget: of the training.
        metric: what the score is called.
    """
    if not (sys.stderr.isatty() if wanted is None else wanted):
        yield Shown()
        return
    from rich import progress
    from rich.console import Console

    columns = (
        progress.BarColumn(bar_width=24),
        progress.TextColumn("{task.completed:.0f}/{task.total:.0f} steps"),
        progress.TimeRemainingColumn(),
    )
    console = Console(stderr=True, highlight=False)
    with progress.Progress(*columns, console=console, transient=True) as bar:
        yield Epochs(bar, budget, metric)
