"""Results as a book."""

import json
import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import torch

from normwise.files import write_text
from normwise.lab.budget import BUDGETS, Budget
from normwise.lab.errata import ERRATA
from normwise.lab.families import by_family, family
from normwise.lab.numbers import grid
from normwise.lab.result import Result
from normwise.report import BookTables, Chapter, Correction, book_page, save_plans
from normwise.report.wording import listing, seconds


def write_book(results: Sequence[Result], folder: str | os.PathLike[str]) -> Path:
    """Write the results as a book: `index.html`, `results.json`, and the figures as SVG and PNG.

    Args:
        results: of `run_all`, at least one.
        folder: made if it does not exist.

    Returns:
        The path of the page, which refers to nothing outside itself.

    Raises:
        UsageError: the folder cannot be written to.

    Example:
        >>> import normwise as nw
        >>> page = nw.lab.write_book([nw.lab.run("bn-identity")], "lab")
        >>> page.name, "Batch normalization can represent the identity" in page.read_text()
        ('index.html', True)
    """
    folder = Path(folder)
    tables = book(results)
    told = json.dumps([result.to_dict() for result in results], indent=2, allow_nan=False)
    write_text(folder / "results.json", told + "\n")
    save_plans(tables.plans(), folder / "figures")
    return write_text(folder / "index.html", book_page(tables))


def book(results: Sequence[Result]) -> BookTables:
    """Return results as the report's tables."""
    first = results[0]
    return BookTables(
        title=f"The lab · {first.data}",
        verdict=tally(results),
        notes=[
            *_shortened(first.budget),
            "A verdict is that of this experiment, on this data: its criterion was written down "
            "before. “Inconclusive” means that the seeds do not settle the question.",
        ],
        facts={
            "data": first.data,
            "seeds": _seeds(first),
            "length of the trainings": _length(first),
            "time": f"{seconds(sum(result.seconds for result in results))} s in all",
            "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
            "versions": f"normwise {version('normwise')}, torch {torch.__version__}",
        },
        chapters=[_chapter(result) for result in by_family(results)],
    )


def tally(results: Sequence[Result]) -> str:
    """Say how many claims hold, and which do not.

    Example:
        >>> import normwise as nw
        >>> tally([nw.lab.run("bn-identity")])
        'The claim holds.'
    """
    names = {
        verdict: [result.claim.name for result in results if result.verdict == verdict]
        for verdict in ("holds", "fails", "inconclusive")
    }
    held, count = len(names["holds"]), len(results)
    if count == 1:
        words = {"holds": "holds", "fails": "fails", "inconclusive": "is inconclusive"}
        return f"The claim {words[results[0].verdict]}."
    told = [f"{held} of {count} claims {'holds' if held == 1 else 'hold'}."]
    if names["fails"]:
        told.append(f"Not so: {listing(names['fails'])}.")
    if names["inconclusive"]:
        told.append(f"Inconclusive: {listing(names['inconclusive'])}.")
    return " ".join(told)


def _chapter(result: Result) -> Chapter:
    claim = result.claim
    header, rows = grid(result.numbers)
    return Chapter(
        name=claim.name,
        family=family(claim.name),
        statement=claim.statement,
        verdict=result.verdict,
        source=claim.source,
        formula=claim.formula.splitlines(),
        experiment=claim.experiment,
        measured=claim.measured,
        criterion=claim.criterion,
        refuted_by=claim.refuted_by,
        header=header,
        rows=rows,
        notes=result.notes,
        corrections=[Correction(**vars(ERRATA[number])) for number in claim.errata],
        figures=result.figures,
        code=_code(result),
        seconds=result.seconds,
        setting=f"{result.data}, seeds {_seeds(result)}",
    )


def _code(result: Result) -> dict[str, str]:
    """Return what repeats the result; a budget of the user's own has no name in a terminal."""
    named = next((name for name, known in BUDGETS.items() if known == result.budget), None)
    terminal = f"normwise lab run {result.claim.name} --data {result.data} --seed {result.seed}"
    python = f'"{result.claim.name}", seed={result.seed}, data="{result.data}"'
    if named != "full":
        terminal += f" --budget {named}"
        python += f', budget="{named}"' if named else f", budget=nw.lab.{result.budget}"
    python = f"import normwise as nw\nresult = nw.lab.run({python})\nresult.verdict, result.frame()"
    return {**({"In a terminal": terminal} if named else {}), "In Python": python}


def _shortened(budget: Budget) -> list[str]:
    if budget.length == 1:
        return []
    return [
        f"A quick look: {budget.seeds} seeds, and trainings of {100 * budget.length:.0f} % of the "
        "length that the chapters tell."
    ]


def _seeds(result: Result) -> str:
    last = result.seed + result.budget.seeds - 1
    return str(result.seed) if last == result.seed else f"{result.seed} to {last}"


def _length(result: Result) -> str:
    share = result.budget.length
    return "full" if share == 1 else f"{100 * share:.0f} % of the full one: a quick look"
