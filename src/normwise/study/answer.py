"""The answer to a comparison, in a sentence or two."""

import math
from typing import NamedTuple

import pandas as pd

from normwise.report.wording import interval, number, places_for, pvalue, signed, whole

_VERDICTS = {
    "better": "Also better",
    "worse": "Worse",
    "equivalent": "Equivalent",
    "undecided": "Undecided",
}


class _Row(NamedTuple):
    """What the answer needs of a row of the summary, by the names of its columns."""

    variant: str
    verdict: str
    estimate: float
    difference: float
    difference_low: float
    difference_high: float
    p: float
    steps_to_target: float
    steps_verdict: str


def answer(summary: pd.DataFrame, metric: str, seeds: int) -> str:
    """Say which variant is best, by how much, and how sure that is.

    Args:
        summary: one row per variant, the baseline first, as `Results.summary` makes it.
        metric: what is compared, for the reader.
        seeds: over how many the variants are compared.

    Returns:
        A few sentences; numbers have the decimals that they have in the report.
    """
    rows = [_Row(*row) for row in summary[list(_Row._fields)].itertuples(index=False)]
    baseline, *others = rows
    places = places_for((summary["high"] - summary["low"]) / 2)
    over = f"over {seeds} seed{'' if seeds == 1 else 's'}"
    reached = number(baseline.estimate, places)
    better = [row for row in others if row.verdict == "better"]
    if not others:
        return f"{baseline.variant} reaches a test {metric} of {reached} {over}."
    if not better:
        nobody = (
            f"{others[0].variant} is not shown to be better than {baseline.variant}"
            if len(others) == 1
            else f"None of {len(others)} variants is shown to be better than {baseline.variant}"
        )
        return f"{nobody}, which reaches a test {metric} of {reached} {over}. {_rest(others)}"
    best = max(better, key=lambda row: row.estimate)
    sentences = [
        f"{best.variant} is better than {baseline.variant}: test {metric} "
        f"{number(best.estimate, places)} against {reached} {over} "
        f"({_difference(best, places)}, {_p(best.p)}).",
        _speed(best, baseline),
        _rest([row for row in others if row is not best]),
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def _difference(row: _Row, places: int) -> str:
    ends = interval(row.difference_low, row.difference_high, places, sign=True)
    return f"{signed(row.difference, places)} {ends}"


def _p(p: float) -> str:
    text = pvalue(p)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def _speed(best: _Row, baseline: _Row) -> str:
    if best.steps_verdict != "better" or math.isnan(best.steps_to_target):
        return ""
    before = baseline.steps_to_target
    reference = "not in half of its runs" if math.isnan(before) else f"after {whole(before)}"
    return (
        f"It reaches the target after {whole(best.steps_to_target)} steps (median), "
        f"{baseline.variant} {reference}."
    )


def _rest(rows: list[_Row]) -> str:
    """Name the other variants by verdict, as in `Also better: a, b. Undecided: c`."""
    named = {
        verdict: ", ".join(row.variant for row in rows if row.verdict == verdict)
        for verdict in _VERDICTS
    }
    return " ".join(f"{_VERDICTS[verdict]}: {names}." for verdict, names in named.items() if names)
