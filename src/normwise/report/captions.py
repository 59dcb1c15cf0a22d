"""What a reader sees in each figure, in sentences made from the same numbers."""

from __future__ import annotations

import math

import pandas as pd

from normwise.report.learning import FEW_RUNS
from normwise.report.tables import StudyTables
from normwise.report.wording import as_given, brief, listing, number, share, whole


FEW = 6  # more variants than this are counted, not named


def metric(tables: StudyTables) -> str:
    """Describe the validation curves."""
    column = f"val_{tables.metric_column}"
    sentence = (
        f"Validation {tables.metric} at every evaluation. {_lines(tables)} The first steps may "
        f"lie below the frame.{_broken(tables, column)}"
    )
    return f"{sentence} {_last(tables, column, 'highest', False)}".strip()


def train_loss(tables: StudyTables) -> str:
    """Describe the training loss."""
    sentence = (
        f"Training loss since the evaluation before. {_lines(tables)} Very large values are cut "
        f"off.{_broken(tables, 'train_loss')}"
    )
    return f"{sentence} {_last(tables, 'train_loss', 'lowest', True)}".strip()


def difference(tables: StudyTables) -> str:
    """Describe the differences to the baseline."""
    sentence = (
        f"Difference in test {tables.metric} to {tables.baseline}, paired by seed. The dot is the "
        "mean, the bar its interval (an arrow: no bound on that side); a bar that stays clear of "
        "zero is a verdict."
    )
    words = []
    for verdict in ("better", "worse", "equivalent", "undecided"):
        named = [
            str(name)
            for name, found in zip(
                tables.summary["variant"], tables.summary["verdict"], strict=True
            )
            if found == verdict
        ]
        if named:
            several = f"{len(named)} variants"
            words.append(f"{verdict}: {listing(named) if len(named) <= FEW else several}")
    told = "; ".join(words)
    return f"{sentence} {told[0].upper()}{told[1:]}." if told else sentence


def reached(tables: StudyTables) -> str:
    """Describe the Kaplan-Meier curves."""
    assert tables.target is not None
    sentence = (
        f"Share of runs that have reached a validation {tables.metric} of {as_given(tables.target)} "
        "by a step (Kaplan–Meier), with its pointwise 95 % interval."
    )
    if len(tables.variants) > FEW:
        return sentence
    rows = tables.summary[["variant", "success", "steps_to_target"]].itertuples(index=False)
    told = []
    for variant, success, steps in rows:
        if not math.isnan(success):
            median = "" if math.isnan(steps) else f", half of them by step {whole(steps)}"
            told.append(f"{variant} {share(success)}{median}")
    if not told:
        return sentence
    return f"{sentence} Within the budget of {whole(tables.budget)} steps: {'; '.join(told)}."


def layer(tables: StudyTables, name: str) -> str:
    """Describe how one layer's pre-activation changes over training."""
    rows = tables.histograms[tables.histograms["layer"].astype(str) == name]
    first, last = whole(rows["step"].min()), whole(rows["step"].max())
    sentence = f"The pre-activation of layer {name}, from step {first} to step {last}."
    return " ".join([sentence, *_spread(tables, name), *_worst_share(tables, name)])


def _lines(tables: StudyTables) -> str:
    seeds = tables.curves["seed"].nunique()
    if seeds <= 1:
        return "Each line is one run."
    thin = "; thin lines are single runs" if seeds <= FEW_RUNS else ""
    return (
        "Each line is the mean over the seeds, its band the pointwise 95 % t-interval of that "
        f"mean{thin}."
    )


def _broken(tables: StudyTables, column: str) -> str:
    """Explain the mark at variants none of whose runs is finite at the end."""
    curves = tables.curves
    last = curves[curves["step"] == curves["step"].max()]
    finite = last["variant"][last[column].astype(float).map(math.isfinite)]
    lost = set(tables.variants) - set(map(str, finite))
    return " ✕: no run is finite at the end." if lost else ""


def _last(tables: StudyTables, column: str, best: str, ascending: bool) -> str:
    """Say who ends best and who ends worst, among the variants with a finite mean at the end."""
    curves = tables.curves[["variant", "step", column]].astype({column: float})
    if not len(curves):
        return ""
    last = curves["step"].max()
    finite = curves[(curves["step"] == last) & curves[column].map(math.isfinite)]
    means = finite.groupby("variant", sort=False)[column].mean().sort_values(ascending=ascending)
    if not len(means):
        return ""
    write = brief if ascending else lambda value: number(value, 3)
    first = f"{means.index[0]} ({write(means.iloc[0])})"
    if len(means) == 1:
        return f"At step {whole(last)}: {first}."
    final = f"{means.index[-1]} ({write(means.iloc[-1])})"
    other = "lowest" if best == "highest" else "highest"
    return f"At step {whole(last)} {first} is {best}, {final} {other}."


def _rows(tables: StudyTables, name: str) -> pd.DataFrame:
    if not len(tables.layers):
        return tables.layers
    return tables.layers[tables.layers["layer"].astype(str) == name]


def _spread(tables: StudyTables, name: str) -> list[str]:
    """Say where the standard deviation changes most, first moment to last."""
    rows = _rows(tables, name)
    if not len(rows) or rows["step"].nunique() < 2:
        return []
    first, last = rows["step"].min(), rows["step"].max()
    wide = rows.pivot(index="variant", columns="step", values="std").astype(float)
    wide = wide[(wide[first] > 0) & (wide[last] > 0)].dropna(subset=[first, last])
    if not len(wide):
        return []
    changes = (wide[last] / wide[first]).map(math.log).abs()
    most = str(changes.idxmax())
    was, now = wide.loc[most, first], wide.loc[most, last]
    return [f"σ changes most under {most}: {brief(float(was))} → {brief(float(now))}."]


def _worst_share(tables: StudyTables, name: str) -> list[str]:
    """Say where most units are dead or saturated, if any are."""
    rows = _rows(tables, name)
    told = []
    for word in ("dead", "saturated"):
        amounts = rows[word].astype(float).dropna() if len(rows) else pd.Series(dtype=float)
        if len(amounts) and amounts.max() >= 0.01:
            row = rows.loc[amounts.idxmax()]
            told.append(
                f"Most {word}: {share(float(row[word]))} "
                f"({row['variant']}, step {whole(float(row['step']))})."
            )
    return told
