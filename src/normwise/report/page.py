"""The page: numbers to words, figures to SVG, both into a template."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from normwise.report.columns import numbers, words
from normwise.report.figures import Plan, plans
from normwise.report.palette import THEME, pens
from normwise.report.tables import SUMMARY, VERDICTS, StudyTables
from normwise.report.wording import (
    as_given,
    brief,
    interval,
    number,
    places_for,
    pvalue,
    seconds,
    share,
    signed,
    whole,
)

if TYPE_CHECKING:
    from jinja2 import Environment

NUMBERS = [name for name in SUMMARY if name not in ("variant", "verdict", "steps_verdict")]
OPEN_LAYERS = 3  # further layers are folded away


def study_page(tables: StudyTables) -> str:
    """Write a study's report as one self-contained HTML page.

    It refers to nothing outside itself, follows the reader's light or dark theme, prints, and
    reads without JavaScript. The same tables give the same text.

    Args:
        tables: the study.

    Returns:
        The HTML document.

    Example:
        >>> import pandas as pd
        >>> from normwise.report.tables import CURVES, SUMMARY
        >>> row = dict.fromkeys(SUMMARY, float("nan")) | {"verdict": "baseline"}
        >>> curve = dict.fromkeys([*CURVES, "val_acc"], 0.5)
        >>> empty = pd.DataFrame()
        >>> tables = StudyTables(
        ...     title="digits", verdict="One variant.", notes=[], facts={}, metric="accuracy",
        ...     metric_column="acc", target=None, budget=1, baseline="<plain>",
        ...     summary=pd.DataFrame([row | {"variant": "<plain>"}]),
        ...     curves=pd.DataFrame([curve | {"variant": "<plain>"}]),
        ...     reached=empty, layers=empty, histograms=empty,
        ... )
        >>> page = study_page(tables)
        >>> page.startswith("<!doctype html>"), "&lt;plain&gt;" in page, "<plain>" in page
        (True, True, False)
    """
    shown = show(plans(tables))
    layers = [shown[name] for name in shown if name.startswith("layer-")]
    return render(
        "study.html",
        tables=tables,
        metric=tables.metric[:1].upper() + tables.metric[1:],
        target=None if tables.target is None else as_given(tables.target),
        budget=whole(tables.budget),
        pens=list(pens(tables.variants, tables.baseline).values()),
        rows=_rows(tables),
        figures=shown,
        layers=layers[:OPEN_LAYERS],
        folded_layers=layers[OPEN_LAYERS:],
    )


def render(template: str, **context: Any) -> str:
    """Fill one of the room's templates, all of which extend ``base.html``."""
    return _environment().get_template(template).render(theme=THEME, **context)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def show(plans: Iterable[Plan], prefix: str = "figure") -> dict[str, dict[str, Any]]:
    """Return what a template needs to show each figure: title, caption, width and SVG.

    Args:
        plans: of the figures.
        prefix: of all ids within them; unique on the page.
    """
    from markupsafe import Markup

    from normwise.report import drawing, svg

    shown = {}
    with drawing.look():
        for place, plan in enumerate(plans):
            figure = plan.draw()
            title = str(figure.get_label())
            shown[plan.name] = {
                "name": plan.name,
                "title": title,
                "caption": plan.caption,
                "width": round(drawing.size(figure)[0]),
                "svg": Markup(svg.inline(figure, f"{prefix}{place}", f"{title}. {plan.caption}")),
            }
    return shown


def _rows(tables: StudyTables) -> list[dict[str, Any]]:
    """Return the results table's rows: per cell its text, and the number that it sorts by."""
    table = numbers(tables.summary, *NUMBERS)
    measured = [dict(zip(NUMBERS, row, strict=True)) for row in table.tolist()]
    places = places_for((row["high"] - row["low"]) / 2 for row in measured)
    scale = _scale(numbers(tables.summary, "estimate", "low", "high"))
    verdicts = words(tables.summary, "verdict")
    steps_verdicts = words(tables.summary, "steps_verdict")
    return [
        {
            "variant": tables.variants[place],
            "verdict": _verdict(verdicts[place]),
            "steps_verdict": _verdict(steps_verdicts[place]),
            "runs": _runs(row["runs"], row["diverged"]),
            "estimate": number(row["estimate"], places),
            "interval": interval(row["low"], row["high"], places),
            "spark": {end: scale(row[end]) for end in ("low", "estimate", "high")},
            "difference": signed(row["difference"], places),
            "difference_interval": interval(
                row["difference_low"], row["difference_high"], places, sign=True
            ),
            "p": pvalue(row["p"]),
            "train_loss": brief(row["train_loss"]),
            "wins": _wins(row["train_loss_wins"], row["pairs"]),
            "steps": whole(row["steps_to_target"]),
            "success": share(row["success"]),
            "steps_difference": _steps_difference(row),
            "steps_p": pvalue(row["steps_p"]),
            "seconds": seconds(row["seconds"]),
            "sorts": {name: value for name, value in row.items() if math.isfinite(value)},
        }
        for place, row in enumerate(measured)
    ]


def _verdict(word: str) -> str:
    return word if word in ("baseline", *VERDICTS) else ""


def _runs(runs: float, diverged: float) -> str:
    if math.isnan(runs):
        return ""
    text = "1 run" if runs == 1 else f"{whole(runs)} runs"
    return f"{text}, {whole(diverged)} diverged" if diverged > 0 else text


def _wins(wins: float, pairs: float) -> str:
    return f"lower in {wins:.0f}/{pairs:.0f}" if pairs > 0 and wins >= 0 else ""


def _steps_difference(row: Mapping[str, float]) -> str:
    """Say how many steps sooner (minus) or later a variant arrives, with the interval."""
    if math.isnan(row["steps_difference"]):
        return ""
    ends = interval(row["steps_low"], row["steps_high"], 0, sign=True)
    return f"{signed(row['steps_difference'], 0)} {ends}"


def _scale(values: np.ndarray) -> Callable[[float], float | None]:
    """Return what maps a metric to 0..100 across the inline interval bars; None for NaN."""
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 1.0)
    width = float(high - low) or 1.0

    def place(value: float) -> float | None:
        if math.isnan(value):
            return None
        return round(100 * float(np.clip((value - low) / width, 0, 1)), 1)

    return place
