"""What a study hands to the report: plain tables, checked once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from normwise.errors import Problems, suggest
from normwise.report.columns import words

if TYPE_CHECKING:
    import pandas as pd

SUMMARY = (
    *("variant", "runs", "diverged", "estimate", "low", "high"),
    *("difference", "difference_low", "difference_high", "p", "verdict"),
    *("train_loss", "train_loss_wins", "pairs", "success", "steps_to_target"),
    *("steps_difference", "steps_low", "steps_high", "steps_p", "steps_verdict", "seconds"),
)
VERDICTS = ("better", "worse", "equivalent", "undecided")
CURVES = ("variant", "seed", "step", "epoch", "train_loss", "val_loss")
REACHED = ("variant", "step", "share", "low", "high")
LAYERS = (
    *("variant", "layer", "activation", "step", "mean", "std", "low", "high"),
    *("dead", "saturated"),
)
HISTOGRAMS = ("variant", "layer", "step", "left", "right", "density")


@dataclass(frozen=True, eq=False)
class StudyTables:
    """Everything that a study's report shows, as text, numbers and tables.

    A number that was not measured is NaN; an interval's end may be infinite.

    Attributes:
        title: what was compared, such as ``"digits: 5 variants × 10 seeds"``.
        verdict: the answer, in one sentence.
        notes: caveats, one plain sentence each.
        facts: how it was measured (data, network, optimizer, machine, ...), by name.
        metric: the metric's name for the reader, ``"accuracy"`` or ``"R²"``.
        metric_column: its name in tables; `curves` hold ``val_<metric_column>``.
        target: the value of the metric that a run is to reach, or None.
        budget: steps that a run may take.
        baseline: the variant that the others are compared with.
        summary: one row per variant, in the order of display. ``estimate`` in ``low..high`` is
            the test metric; ``difference`` (with its own low and high, ``p`` and ``verdict``) is
            to the baseline, whose verdict is ``"baseline"``; ``train_loss_wins`` counts the
            pairs, out of ``pairs``, whose training loss is below the baseline's; ``success`` is
            the share of runs that reach the target and ``steps_to_target`` their median step;
            ``seconds`` is per run. The columns are `SUMMARY`.
        curves: one row per run and evaluation, NaN from divergence on. The columns are `CURVES`
            and ``val_<metric_column>``.
        reached: the share of runs that have reached the target by a step, with its interval: a
            step function per variant (Kaplan-Meier). The columns are `REACHED`; may be empty.
        layers: one row per variant, hidden layer and moment in training, with the pre-activation's
            statistics; ``dead`` and ``saturated`` are shares of 0 to 1. The columns are `LAYERS`;
            may be empty.
        histograms: the pre-activation's distribution: one row per bin. The columns are
            `HISTOGRAMS`; may be empty.

    Raises:
        UsageError: a column is missing, or a variant is unknown or listed twice.

    Example:
        >>> import pandas as pd
        >>> nothing = dict.fromkeys(SUMMARY, float("nan"))
        >>> empty = pd.DataFrame()
        >>> tables = StudyTables(
        ...     title="digits: 1 variant × 1 seed",
        ...     verdict="There is nothing to compare.",
        ...     notes=[],
        ...     facts={"data": "digits"},
        ...     metric="accuracy",
        ...     metric_column="acc",
        ...     target=None,
        ...     budget=100,
        ...     baseline="plain",
        ...     summary=pd.DataFrame([nothing | {"variant": "plain", "verdict": "baseline"}]),
        ...     curves=pd.DataFrame(columns=[*CURVES, "val_acc"]),
        ...     reached=empty,
        ...     layers=empty,
        ...     histograms=empty,
        ... )
        >>> tables.variants
        ['plain']
    """

    title: str
    verdict: str
    notes: Sequence[str]
    facts: Mapping[str, str]
    metric: str
    metric_column: str
    target: float | None
    budget: int
    baseline: str
    summary: pd.DataFrame
    curves: pd.DataFrame
    reached: pd.DataFrame
    layers: pd.DataFrame
    histograms: pd.DataFrame

    def __post_init__(self) -> None:
        problems = Problems()
        problems.add(*_missing("summary", self.summary, SUMMARY))
        problems.add(*_missing("curves", self.curves, (*CURVES, f"val_{self.metric_column}")))
        for name, columns in (
            ("reached", REACHED),
            ("layers", LAYERS),
            ("histograms", HISTOGRAMS),
        ):
            table = getattr(self, name)
            if len(table):
                problems.add(*_missing(name, table, columns))
        problems.raise_if_any()
        problems.add(*_strangers(self))
        problems.raise_if_any()

    @property
    def variants(self) -> list[str]:
        """The variants' names, in the order of the summary."""
        return words(self.summary, "variant").tolist()

    @property
    def hidden_layers(self) -> list[str]:
        """The layers that have histograms, in order of appearance."""
        return list(dict.fromkeys(words(self.histograms, "layer").tolist()))


def _missing(name: str, table: pd.DataFrame, columns: Iterable[str]) -> list[str]:
    absent = [column for column in columns if column not in table.columns]
    if not absent:
        return []
    return [f"{name} lacks the columns {', '.join(absent)}; it has {', '.join(map(str, table))}"]


def _strangers(tables: StudyTables) -> list[str]:
    known = tables.variants
    problems = []
    twice = sorted({name for name in known if known.count(name) > 1})
    if twice:
        problems.append(f"summary lists {', '.join(twice)} more than once: give one row each")
    if tables.baseline not in known:
        problems.append(
            f"baseline={tables.baseline!r} is no row of summary{suggest(tables.baseline, known)}; "
            f"it has {', '.join(known) or 'none'}"
        )
    for name in ("curves", "reached", "layers", "histograms"):
        strangers = sorted(set(words(getattr(tables, name), "variant").tolist()) - set(known))
        problems += [f"{name} holds {each!r}, which is no row of summary" for each in strangers]
    return problems
