"""What a reader sees in each figure, in sentences made from the same numbers."""

from __future__ import annotations

import math

import numpy as np

from normwise.report.columns import numbers, words
from normwise.report.distributions import NOTABLE
from normwise.report.learning import FEW_RUNS, per_run
from normwise.report.tables import VERDICTS, StudyTables
from normwise.report.wording import as_given, brief, listing, share, whole

FEW = 6  # more variants than this are counted, not named


def metric(tables: StudyTables) -> str:
    """Describe the validation curves."""
    column = f"val_{tables.metric_column}"
    sentence = (
        f"Validation {tables.metric} at every evaluation. {_lines(tables)} The first steps may "
        f"lie below the frame.{_broken(tables, column)}"
    )
    return sentence + _last(tables, column)


def train_loss(tables: StudyTables) -> str:
    """Describe the training loss."""
    sentence = (
        f"Training loss at every evaluation. {_lines(tables)} Very large values are cut "
        f"off.{_broken(tables, 'train_loss')}"
    )
    return sentence + _last(tables, "train_loss")


def difference(tables: StudyTables) -> str:
    """Describe the differences to the baseline."""
    sentence = (
        f"Difference in test {tables.metric} to {tables.baseline}, paired by seed. The dot is the "
        "mean, the bar its interval (an arrow: no bound on that side); a bar that stays clear of "
        "zero settles who is ahead."
    )
    verdicts = words(tables.summary, "verdict")
    parts = []
    for verdict in VERDICTS:
        named = words(tables.summary, "variant")[verdicts == verdict].tolist()
        if named:
            several = f"{len(named)} variants"
            parts.append(f"{verdict}: {listing(named) if len(named) <= FEW else several}")
    told = "; ".join(parts)
    return f"{sentence} {told[0].upper()}{told[1:]}." if told else sentence


def reached(tables: StudyTables) -> str:
    """Describe the Kaplan-Meier curves."""
    assert tables.target is not None
    sentence = (
        f"Share of runs that have reached a validation {tables.metric} of "
        f"{as_given(tables.target)} by a step (Kaplan–Meier), with its pointwise 95 % interval "
        "from the first arrival on."
    )
    if len(tables.variants) > FEW:
        return sentence
    rows = numbers(tables.summary, "success", "steps_to_target").tolist()
    told = []
    for variant, (success, steps) in zip(tables.variants, rows, strict=True):
        if not math.isnan(success):
            median = "" if math.isnan(steps) else f", half of them by step {whole(steps)}"
            told.append(f"{variant} {share(success)}{median}")
    if not told:
        return sentence
    return f"{sentence} Within the budget of {whole(tables.budget)} steps: {'; '.join(told)}."


def layer(tables: StudyTables, name: str) -> str:
    """Describe how one layer's pre-activation changes over training."""
    steps = numbers(tables.histograms, "step")[words(tables.histograms, "layer") == name]
    first, last = whole(steps.min()), whole(steps.max())
    sentence = f"The pre-activation of layer {name}, from step {first} to step {last}."
    return " ".join([sentence, *_spread(tables, name), *_worst_share(tables, name)])


def _lines(tables: StudyTables) -> str:
    seeds = len(np.unique(numbers(tables.curves, "seed")))
    if seeds <= 1:
        return "Each line is one run."
    thin = "; thin lines are single runs" if seeds <= FEW_RUNS else ""
    return (
        "Each line is the mean over the seeds, its band the pointwise 95 % t-interval of that "
        f"mean{thin}."
    )


def _final_means(tables: StudyTables, column: str) -> dict[str, float]:
    """Return the mean at the last step by variant, of those with a finite run, from low to high."""
    means = {}
    last = numbers(tables.curves, "step").max(initial=0)
    for variant in tables.variants:
        steps, values = per_run(tables, variant, column)
        final = values[:, steps == last]
        if np.isfinite(final).any():
            means[variant] = float(np.nanmean(final))
    return dict(sorted(means.items(), key=lambda item: item[1]))


def _broken(tables: StudyTables, column: str) -> str:
    """Explain the mark at variants none of whose runs is finite at the end."""
    lost = len(_final_means(tables, column)) < len(tables.variants)
    return " ✕: no run is finite at the end." if lost else ""


def _last(tables: StudyTables, column: str) -> str:
    """Say who ends highest and who lowest."""
    means = _final_means(tables, column)
    if not means:
        return ""
    told = [f"{variant} ({brief(mean)})" for variant, mean in means.items()]
    when = f"At step {whole(numbers(tables.curves, 'step').max())}"
    if len(told) == 1:
        return f" {when}: {told[0]}."
    return f" {when} {told[-1]} is highest, {told[0]} lowest."


def _spread(tables: StudyTables, name: str) -> list[str]:
    """Say where the standard deviation changes most, first moment to last."""
    here = words(tables.layers, "layer") == name
    variants = words(tables.layers, "variant")[here]
    steps, stds = numbers(tables.layers, "step", "std")[here].T
    changes = []
    for variant in dict.fromkeys(variants.tolist()):
        mine = variants == variant
        was, now = (stds[mine][end(steps[mine])] for end in (np.argmin, np.argmax))
        if was > 0 and now > 0:
            changes.append((abs(math.log(now / was)), variant, was, now))
    if not changes or max(changes)[0] == 0:
        return []
    _, variant, was, now = max(changes)
    return [f"σ changes most under {variant}: {brief(was)} → {brief(now)}."]


def _worst_share(tables: StudyTables, name: str) -> list[str]:
    """Say where most units are dead or saturated, if any are."""
    here = words(tables.layers, "layer") == name
    told = []
    for word in ("dead", "saturated"):
        steps, amounts = numbers(tables.layers, "step", word)[here].T
        if (amounts >= NOTABLE).any():
            worst = int(np.nanargmax(amounts))
            variant = words(tables.layers, "variant")[here][worst]
            when = f"{variant}, step {whole(steps[worst])}"
            told.append(f"Most {word}: {share(amounts[worst])} ({when}).")
    return told
