"""`normwise explain`: what a rule is about."""

from typing import Annotated

import typer


def explain(
    code: Annotated[
        str, typer.Argument(help="Of a rule, such as NRM101, or its name.", show_default=False)
    ],
) -> None:
    """Say what a rule looks for, why that is bad, and what to do."""
    from rich.console import Console
    from rich.markdown import Markdown

    from normwise.rules import explain_rule

    text = explain_rule(code)
    console = Console()
    if console.is_terminal:
        console.print(Markdown(text))
    else:
        print(text, end="")
