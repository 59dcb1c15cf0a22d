"""What the lab hands to the report, and the book that is made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from normwise.report.charts import Chart, chart_plans
from normwise.report.figures import Plan
from normwise.report.formulas import formula_svg
from normwise.report.page import render, show
from normwise.report.wording import seconds

VERDICTS = ("holds", "fails", "inconclusive")


@dataclass(frozen=True)
class Correction:
    """A printed mistake.

    Attributes:
        number: of it, in the list of errata.
        printed: what was printed.
        wrong: why that is wrong.
        right: what is right.

    Example:
        >>> Correction(1, "1 = 2", "One is not two.", "1 = 1").right
        '1 = 1'
    """

    number: int
    printed: str
    wrong: str
    right: str


@dataclass(frozen=True, eq=False)
class Chapter:
    """One claim and its experiment.

    Attributes:
        name: of the claim.
        family: under which heading it stands in the contents.
        statement: what is claimed.
        verdict: one of `VERDICTS`.
        source: who claims it.
        formula: lines of LaTeX; may be empty.
        experiment: what was done.
        measured: what was measured.
        criterion: of the verdict.
        refuted_by: what would have refuted it.
        header: of the table of numbers, a title per column; titles may be empty.
        rows: of that table; a cell is a value and its interval, the first names the row.
        notes: what a reader should know.
        corrections: printed mistakes that the experiment shows.
        figures: of the experiment.
        code: to do it again, by language.
        seconds: that it took.
        setting: data, seeds, in words.

    Example:
        >>> Chapter(
        ...     "bn-speed", "Batch normalization", "It trains faster.", "holds", "Ioffe (2015)", [],
        ...     "Train both.", "The loss.", "Holds where it is lower.", "A higher loss.", ["", ""],
        ...     [[("loss", ""), ("0.5", "[0.4, 0.6]")]], [], [], [], {}, 1.5, "digits, seed 0",
        ... ).verdict
        'holds'
    """

    name: str
    family: str
    statement: str
    verdict: str
    source: str
    formula: Sequence[str]
    experiment: str
    measured: str
    criterion: str
    refuted_by: str
    header: Sequence[str]
    rows: Sequence[Sequence[tuple[str, str]]]
    notes: Sequence[str]
    corrections: Sequence[Correction]
    figures: Sequence[Chart]
    code: Mapping[str, str]
    seconds: float
    setting: str


@dataclass(frozen=True, eq=False)
class BookTables:
    """Everything that the lab's book shows.

    Attributes:
        title: of the book.
        verdict: how many claims hold, in a sentence.
        notes: caveats.
        facts: how it was measured, by name.
        chapters: in order, those of a family together.

    Example:
        >>> BookTables("The lab", "No claim was tested.", [], {}, []).plans()
        []
    """

    title: str
    verdict: str
    notes: Sequence[str]
    facts: Mapping[str, str]
    chapters: Sequence[Chapter]

    def plans(self) -> list[Plan]:
        """Return every figure, named after its claim."""
        return [plan for each in self.chapters for plan in chart_plans(each.name, each.figures)]


def book_page(tables: BookTables) -> str:
    """Write the lab's results as one self-contained HTML page.

    It refers to nothing outside itself, follows the reader's light or dark theme, prints, and
    reads without JavaScript.

    Args:
        tables: the results.

    Returns:
        The HTML document.

    Example:
        >>> page = book_page(BookTables("The lab", "No claim was tested.", [], {}, []))
        >>> page.startswith("<!doctype html>"), "No claim was tested." in page
        (True, True)
    """
    shown = [_chapter(chapter) for chapter in tables.chapters]
    families = [
        {"name": name, "chapters": list(chapters)}
        for name, chapters in groupby(shown, key=lambda chapter: chapter["family"])
    ]
    counts = [(word, sum(each["verdict"] == word for each in shown)) for word in VERDICTS]
    return render(
        "book.html",
        tables=tables,
        families=families,
        chapters=shown,
        counts=[(word, count) for word, count in counts if count],
    )


def _chapter(chapter: Chapter) -> dict[str, Any]:
    from markupsafe import Markup

    return vars(chapter) | {
        "figures": list(show(chart_plans(chapter.name, chapter.figures), chapter.name).values()),
        "formulas": [Markup(formula_svg(line)) for line in chapter.formula],
        "seconds": seconds(chapter.seconds),
        "titled": any(chapter.header),
    }
