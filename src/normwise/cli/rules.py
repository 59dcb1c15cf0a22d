"""`normwise rules`: all that `check` and `watch` look for."""

import json
from typing import Annotated

import typer

from normwise.cli.options import Format


def rules(
    output: Annotated[Format, typer.Option("--format", help="What is printed.")] = Format.text,
) -> None:
    """List the rules, by code."""
    from normwise.rules import all_rules

    rows = [
        {
            "code": rule.code,
            "name": rule.name,
            "level": rule.level,
            "needs": rule.needs.name.lower(),
            "since": rule.since,
        }
        for rule in all_rules().values()
    ]
    if output is Format.json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        print(f"{row['code']}  {row['level']:7}  {row['name']}")
