"""`normwise watch`: what goes wrong in this training script?"""

import atexit
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from normwise.cli.findings import (
    Baseline,
    FindingsFormat,
    Ignore,
    Output,
    Select,
    WriteBaseline,
    exit_code,
    show,
)


def watch(
    script: Annotated[Path, typer.Argument(help="A Python file.", show_default=False)],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(help="The script's own arguments.", show_default=False),
    ] = None,
    budget: Annotated[
        float, typer.Option(help="Share of the time that measuring may take.")
    ] = 0.03,
    every: Annotated[
        int | None,
        typer.Option(help="Measure every n-th step, whatever it costs.", show_default="by budget"),
    ] = None,
    select: Select = None,
    ignore: Ignore = None,
    baseline: Baseline = None,
    write_baseline: WriteBaseline = None,
    html: Annotated[Path | None, typer.Option(help="Write a page with the distributions.")] = None,
    output: Output = FindingsFormat.text,
) -> None:
    """Run a training script, unchanged, and say at its end what went wrong in it.

    Options of normwise stand before the script, those of the script behind it. A script that
    crashes or is interrupted is judged by what it did until then.
    """
    from normwise import rules

    with _standard_output_free(output is not FindingsFormat.text):
        outcome = rules.run_script(
            script,
            arguments or (),
            budget=budget,
            every=every,
            select=select,
            ignore=ignore or (),
            baseline=baseline,
        )
    if not outcome.reports:
        raise typer.Exit(outcome.code)
    if write_baseline is not None:
        rules.write_baseline(outcome.findings, write_baseline)
    if html is not None:
        outcome.to_html(html, title=" ".join([str(script), *(arguments or ())]))
    show(outcome.findings, output)
    if output is not FindingsFormat.text:
        sys.stdout.flush()
        atexit.register(_divert)  # before what the script has registered
    raise typer.Exit(outcome.code or exit_code(outcome.findings))


@contextmanager
def _standard_output_free(wanted: bool) -> Iterator[None]:
    """Send what is printed, by this process and those that it starts, to standard error."""
    if not wanted:
        yield
        return
    sys.stdout.flush()
    kept = os.dup(1)
    _divert()
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        if sys.__stdout__ is not None:
            sys.__stdout__.flush()  # what the script wrote there itself
        os.dup2(kept, 1)
        os.close(kept)


def _divert() -> None:
    sys.stderr.flush()
    os.dup2(2, 1)
