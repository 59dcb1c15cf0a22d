"""Findings as `check` and `watch` give them: on the terminal, as JSON, as SARIF, as a page."""

import json
import sys
from enum import StrEnum
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from normwise.rules import Finding, Findings

_COLOURS = {"error": "bold red", "warning": "yellow", "info": "cyan"}
_SELECTED = "Codes of rules or beginnings of codes, such as NRM, joined by commas."


class FindingsFormat(StrEnum):
    """How findings are printed."""

    text = "text"
    json = "json"
    sarif = "sarif"


Select = Annotated[str | None, typer.Option(help=f"Rules to run. {_SELECTED}", show_default="all")]
Ignore = Annotated[
    list[str] | None,
    typer.Option(help="CODE, or CODE@PATTERN: REASON for some places. May be repeated."),
]
Baseline = Annotated[Path | None, typer.Option(help="File of known findings, which are not shown.")]
WriteBaseline = Annotated[Path | None, typer.Option(help="Write the findings into such a file.")]
Output = Annotated[FindingsFormat, typer.Option("--format", help="What is printed.")]


def show(findings: "Findings", output: FindingsFormat) -> None:
    """Print findings to standard output, the worst first, and what could not be told."""
    if output is FindingsFormat.json:
        print(json.dumps(findings.to_dict(), indent=1))
    elif output is FindingsFormat.sarif:
        from normwise.rules import sarif

        print(json.dumps(sarif(findings), indent=1))
    else:
        _write(findings)


def exit_code(findings: "Findings") -> int:
    """Return 1 where there is something to mend, else 0."""
    return 1 if findings.worst in ("error", "warning") else 0


def _write(findings: "Findings") -> None:
    console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
    ranked = {code: rank for rank, code in enumerate(dict.fromkeys(f.code for f in findings))}
    ordered = sorted(findings, key=lambda f: (list(_COLOURS).index(f.level), ranked[f.code]))
    for (level, code, name), group in groupby(ordered, lambda f: (f.level, f.code, f.name)):
        console.print(f"[{_COLOURS[level]}]{level}[/] {code} {name}")
        for advice, alike in groupby(group, lambda f: f.advice):
            for finding in alike:
                console.print(f"  {escape(_where(finding, findings))}: {escape(finding.message)}")
            console.print(f"    [dim]{escape(advice)}[/]")
    for note in findings.notes:
        console.print(f"note: {escape(note)}")
    console.print(_summary(findings))


def _where(finding: "Finding", findings: "Findings") -> str:
    place = findings.place(finding)
    made = f" ({place})" if place and place != finding.where else ""
    when = "" if finding.step is None else f", step {finding.step}"
    return (finding.where or "the network") + made + when


def _summary(findings: "Findings") -> str:
    clean, unknown = len(findings.clean), len(findings.unanswered)
    found = f"{len(findings)} finding{'' if len(findings) == 1 else 's'}"
    told = f"{clean} rule{'' if clean == 1 else 's'} found nothing"
    return f"{found}; {told}" + (f"; {unknown} could not tell" if unknown else "")
