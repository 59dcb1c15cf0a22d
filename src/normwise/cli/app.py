"""The program: its commands, and how it ends."""

import sys

import typer
from rich.console import Console

from normwise.cli.compare import compare
from normwise.errors import UsageError

WRONG_USE = 2

app = typer.Typer(
    help="Which normalization and regularization train your PyTorch network best.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(compare)


@app.callback()
def program(
    version: bool = typer.Option(False, "--version", help="Show the version and exit."),
) -> None:
    """Which normalization and regularization train your PyTorch network best."""
    if version:
        from importlib.metadata import version as installed

        print(f"normwise {installed('normwise')}")
        raise typer.Exit


def main() -> None:
    """Run the command line; a mistake of the user's ends in a message and exit code 2."""
    try:
        app(prog_name="normwise")
    except UsageError as error:
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        for problem in error.problems:
            console.print("[bold red]error:[/] ", end="")
            console.print(problem, markup=False)
        sys.exit(WRONG_USE)
