"""A claim in words: its page, made from its own class."""

import os
from pathlib import Path

from normwise.files import write_text
from normwise.lab.claim import Claim
from normwise.lab.errata import ERRATA
from normwise.lab.families import FAMILIES, REST, family
from normwise.lab.registry import all_claims


def page(claim: Claim) -> str:
    """Return what a claim is about, and how it is tested, as Markdown.

    Example:
        >>> from normwise.lab import all_claims
        >>> print(page(all_claims()["bn-speed"]).splitlines()[0])
        # bn-speed
    """
    formulas = "\n\n".join(f"$$\n{line}\n$$" for line in claim.formula.splitlines())
    parts = [
        f"# {claim.name}",
        f"**{claim.statement}**",
        f"Source: {claim.source}.",
        formulas,
        *("## The experiment", claim.experiment),
        *("## What is measured", claim.measured),
        *("## Verdict", claim.criterion),
        f"It would be refuted by: {claim.refuted_by}",
        *(_erratum(number) for number in claim.errata),
        *("## Do it again", f"```\nnormwise lab run {claim.name}\n```"),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def overview() -> str:
    """Return the list of all claims, by family, and the errata, as Markdown."""
    claims = all_claims().values()
    parts = [
        "# The lab's claims",
        "Each is a statement that lectures make, and an experiment that tests it: "
        "`normwise lab run NAME`, or all of them as a book: `normwise lab run --all --out lab/`. "
        "What would refute a claim, and when its verdict is *holds*, stands on its page and in its "
        "class, before any data are seen.",
    ]
    for heading in [*FAMILIES.values(), REST]:
        rows = [
            f"| [{claim.name}]({claim.name}.md) | {claim.statement} |"
            for claim in claims
            if family(claim.name) == heading
        ]
        if rows:
            parts += [f"## {heading}", "\n".join(["| name | claim |", "|---|---|", *rows])]
    shown = {number: claim.name for claim in claims for number in claim.errata}
    rows = [
        f"| {number} | {_cell(erratum.printed)} | {_cell(erratum.right)} | "
        f"{f'[{shown[number]}]({shown[number]}.md)' if number in shown else ''} |"
        for number, erratum in ERRATA.items()
    ]
    head = ["| | printed | right | shown by |", "|---|---|---|---|"]
    parts += ["## Errata", "Where lectures are wrong.", "\n".join([*head, *rows])]
    return "\n\n".join(parts) + "\n"


def write_pages(folder: str | os.PathLike[str]) -> list[Path]:
    """Write the page of every claim, and a list of them, as Markdown files.

    Args:
        folder: where `<name>.md` and `README.md` go.

    Raises:
        UsageError: the folder cannot be written to.

    Example:
        >>> {path.name for path in write_pages("lab")} >= {"README.md", "bn-speed.md"}
        True
    """
    texts = {f"{name}.md": page(claim) for name, claim in all_claims().items()}
    texts["README.md"] = overview()
    return [write_text(Path(folder) / name, text) for name, text in texts.items()]


def _erratum(number: int) -> str:
    erratum = ERRATA[number]
    return (
        f"## Erratum {number}\n\n"
        f"Printed: {erratum.printed}\n\n"
        f"Why it is wrong: {erratum.wrong}\n\n"
        f"Right: **{erratum.right}**"
    )


def _cell(text: str) -> str:
    """Keep bars from ending a cell."""
    return text.replace("|", "\\|")
