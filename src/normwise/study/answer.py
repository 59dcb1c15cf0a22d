"""The answer to a comparison, in a sentence or two."""

import math

import pandas as pd


def answer(summary: pd.DataFrame, metric: str, seeds: int) -> str:
    """Say which variant is best, by how much, and how sure that is.

    Args:
        summary: one row per variant, the baseline first, as `Results.summary` makes it.
        metric: what is compared, for the reader.
        seeds: how many were asked for.

    Returns:
        One or two sentences.
    """
    rows = summary.to_dict("records")
    baseline, others = rows[0], rows[1:]
    over = f"over {seeds} seed{'s' * (seeds > 1)}"
    if not others:
        return (
            f"{baseline['variant']} reaches a test {metric} of {_value(baseline, metric)} {over}."
        )
    better = [row for row in others if row["verdict"] == "better"]
    if not better:
        return f"{_nobody(baseline, others, metric, over)} {_rest(others)}".strip()
    best = max(better, key=lambda row: row["estimate"])
    sentence = (
        f"{best['variant']} is better than {baseline['variant']}: test {metric} "
        f"{_value(best, metric)} against {_value(baseline, metric)} {over} "
        f"({_difference(best, metric)}, p = {_p(best['p'])}).{_speed(best, baseline)}"
    )
    return f"{sentence} {_rest([row for row in others if row is not best])}".strip()


def _nobody(
    baseline: dict[str, object], others: list[dict[str, object]], metric: str, over: str
) -> str:
    name = baseline["variant"]
    if len(others) == 1:
        start = f"{others[0]['variant']} is not shown to be better than {name}"
    else:
        start = f"None of {len(others)} variants is shown to be better than {name}"
    return f"{start}, which reaches a test {metric} of {_value(baseline, metric)} {over}."


def _rest(rows: list[dict[str, object]]) -> str:
    """Name the other variants by verdict: `Also better: a, b. Undecided: c.`"""
    by_verdict: dict[str, list[str]] = {}
    for row in rows:
        by_verdict.setdefault(str(row["verdict"]), []).append(str(row["variant"]))
    words = {"better": "Also better", "worse": "Worse", "equivalent": "Equivalent"}
    words["undecided"] = "Undecided"
    return " ".join(f"{words[v]}: {', '.join(by_verdict[v])}." for v in words if v in by_verdict)


def _speed(best: dict[str, object], baseline: dict[str, object]) -> str:
    steps, before = best["steps_to_target"], baseline["steps_to_target"]
    if not isinstance(steps, float) or math.isnan(steps) or best["steps_verdict"] != "better":
        return ""
    reference = "never in the median" if _isnan(before) else f"after {before:g}"
    return (
        f" It reaches the target after {steps:g} steps (median), {baseline['variant']} {reference}."
    )


def _value(row: dict[str, object], metric: str) -> str:
    value = float(row["estimate"])  # type: ignore[arg-type]
    return f"{100 * value:.2f} %" if metric == "accuracy" else f"{value:.4f}"


def _difference(row: dict[str, object], metric: str) -> str:
    low, middle, high = (row[key] for key in ("difference_low", "difference", "difference_high"))
    if metric == "accuracy":
        low, middle, high = (100 * float(value) for value in (low, middle, high))  # type: ignore
        return f"{middle:+.2f} points, interval {low:+.2f} to {high:+.2f}"
    return f"{middle:+.4f}, interval {low:+.4f} to {high:+.4f}"


def _p(p: object) -> str:
    return "less than 0.001" if float(p) < 0.001 else f"{p:.3f}"  # type: ignore


def _isnan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)
