"""The program: its commands, and how it ends."""

import sys
from importlib.metadata import version
from typing import Annotated

import typer
from rich.console import Console

from normwise.cli.check import check
from normwise.cli.compare import compare
from normwise.cli.explain import explain
from normwise.cli.fit import fit
from normwise.cli.fold import fold
from normwise.cli.lab import lab
from normwise.cli.rules import rules
from normwise.cli.watch import watch
from normwise.errors import UsageError

WRONG_USE = 2

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(compare)
app.command()(check)
app.command(context_settings={"allow_interspersed_args": False})(watch)
app.command()(fit)
app.command()(fold)
app.command()(rules)
app.command()(explain)
app.add_typer(lab, name="lab")


def _tell_version(wanted: bool) -> None:
    if wanted:
        print(f"normwise {version('normwise')}")
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version and exit.", is_eager=True, callback=_tell_version
        ),
    ] = False,
) -> None:
    """Which normalization and regularization train your PyTorch network best."""


def main() -> None:
    """Run the command line; a mistake of the user's ends in a message and exit code 2.

    Example:
        >>> from unittest.mock import patch
        >>> with patch("sys.argv", ["normwise", "--version"]):
        ...     main()
        Traceback (most recent call last):
        SystemExit: 0
    """
    try:
        app(prog_name="normwise")
    except UsageError as error:
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        for problem in error.problems:
            console.print("[bold red]error:[/] ", end="")
            console.print(problem, markup=False)
        sys.exit(WRONG_USE)
