"""A progress bar for passes over data."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def showing(wanted: bool | None, doing: str, total: int | None) -> Iterator[Callable[[], None]]:
    """Show a bar on the error stream, and yield what moves it on by one.

    Args:
        wanted: yes, no, or None to show it where standard error is a terminal.
        doing: what is shown beside it.
        total: how many steps there are, or None where that is not known.
    """
    if not (sys.stderr.isatty() if wanted is None else wanted):
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(doing, total=total)
        yield lambda: bar.advance(task)
