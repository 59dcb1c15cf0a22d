"""Findings on the terminal, or as JSON."""

import json
import sys

from rich.console import Console
from rich.markup import escape

from normwise.rules import Findings

_COLOURS = {"error": "bold red", "warning": "yellow", "info": "cyan"}


def show(findings: Findings, *, as_json: bool) -> None:
    """Print findings to standard output, the worst first, and what could not be told."""
    if as_json:
        print(
            json.dumps(
                {
                    "findings": [finding.to_dict() for finding in findings],
                    "clean": findings.clean,
                    "unanswered": findings.unanswered,
                    "notes": list(findings.notes),
                },
                indent=1,
            )
        )
        return
    console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
    for finding in findings:
        colour, step = _COLOURS[finding.level], finding.step
        when = "" if step is None else f" (step {step})"
        console.print(
            f"[{colour}]{finding.level}[/] {finding.code} {escape(finding.where or 'the network')}"
            f"{when}: {escape(finding.message)}"
        )
        console.print(f"  {escape(finding.advice)} [dim]({finding.name})[/]")
    for note in findings.notes:
        console.print(f"note: {escape(note)}")
    console.print(_summary(findings))


def _summary(findings: Findings) -> str:
    clean, unknown = len(findings.clean), len(findings.unanswered)
    found = f"{len(findings)} finding{'' if len(findings) == 1 else 's'}"
    told = f"{clean} rule{'' if clean == 1 else 's'} found nothing"
    return f"{found}; {told}" + (f"; {unknown} could not tell" if unknown else "")
