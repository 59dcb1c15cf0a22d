"""`normwise lab`: what the lectures say, tested on this machine."""

import json
from pathlib import Path
from typing import Annotated

import typer

from normwise.cli.options import Format
from normwise.errors import UsageError

lab = typer.Typer(no_args_is_help=True, help="Test what lectures say, claim by claim.")

_FAILED = 1


@lab.command("list")
def list_claims(
    output: Annotated[Format, typer.Option("--format", help="What is printed.")] = Format.text,
) -> None:
    """List the claims."""
    from normwise.lab import all_claims

    rows = [
        {"name": claim.name, "statement": claim.statement, "source": claim.source}
        for claim in all_claims().values()
    ]
    if output is Format.json:
        print(json.dumps(rows, indent=1))
        return
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        print(f"{row['name']:{width}}  {row['statement']}")


@lab.command("run")
def run_claims(
    names: Annotated[
        list[str] | None, typer.Argument(help="Of claims.", show_default=False)
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Run every claim.")] = False,
    data: Annotated[
        str, typer.Option(help="digits, mnist, a .npz or .safetensors file, or file.py:function.")
    ] = "digits",
    seed: Annotated[int, typer.Option(help="The first of the seeds.")] = 0,
    budget: Annotated[
        str, typer.Option(help="full: 10 seeds; quick: 6 seeds, half as long.")
    ] = "full",
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the book: index.html, figures.", show_default="no book"),
    ] = None,
    output: Annotated[Format, typer.Option("--format", help="What is printed.")] = Format.text,
) -> None:
    """Test claims, and say which hold; exit code 1 where one fails."""
    from normwise.cli.results import show_summary, watched
    from normwise.lab import run_all, write_book

    if every == bool(names):
        raise UsageError("name the claims to run, or give --all; normwise lab list has their names")
    results = list(watched(run_all(None if every else names, seed, data, budget), output))
    page = None if out is None else write_book(results, out)
    if output is Format.json:
        print(json.dumps([result.to_dict() for result in results], indent=2))
    else:
        show_summary(results, page)
    if any(result.verdict == "fails" for result in results):
        raise typer.Exit(_FAILED)
