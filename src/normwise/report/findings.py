"""What the doctor hands to the report: findings and measurements as plain tables, checked once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from normwise.errors import Problems

if TYPE_CHECKING:
    import pandas as pd

FINDINGS = ("level", "code", "name", "where", "place", "step", "message", "advice")
LOSS = ("step", "value")
LAYERS = ("layer", "type", "std", "dead", "saturated")
HISTOGRAMS = ("layer", "left", "right", "density")
WEIGHTS = ("parameter", "gradient", "lowest", "highest", "ratio")


@dataclass(frozen=True, eq=False)
class TrainingTables:
    """The measurements of one training; each table may be empty.

    Attributes:
        name: of the networks, for the reader.
        loss: one row per measured step. The columns are `LOSS`.
        layers: one row per layer, in the order of the network; ``dead`` and ``saturated`` are
            shares of 0 to 1, or NaN. The columns are `LAYERS`.
        histograms: the layers' outputs: one row per bin. The columns are `HISTOGRAMS`.
        weights: one row per parameter: the gradient's norm, its mean and its extremes over the
            steps, and the mean size of an update relative to the weight. The columns are `WEIGHTS`.

    Example:
        >>> import pandas as pd
        >>> from normwise.report import findings_page
        >>> loss, none = pd.DataFrame({"step": [0, 1], "value": [2.0, 1.0]}), pd.DataFrame()
        >>> page = findings_page(
        ...     FindingsTables(
        ...         "train.py", "Fine.", [], {}, none,
        ...         [TrainingTables("Inside the network", loss, none, none, none)],
        ...     )
        ... )
        >>> page.count("<figure")
        1
    """

    name: str
    loss: pd.DataFrame
    layers: pd.DataFrame
    histograms: pd.DataFrame
    weights: pd.DataFrame


@dataclass(frozen=True, eq=False)
class FindingsTables:
    """Everything that a page of findings shows.

    Attributes:
        title: what was watched.
        verdict: the answer, in one sentence.
        notes: caveats, one plain sentence each.
        facts: how it was measured, by name.
        findings: one row per finding, the worst first. The columns are `FINDINGS`; ``step`` is
            NaN where a finding has none.
        trainings: the measurements.

    Raises:
        UsageError: a column is missing.

    Example:
        >>> import pandas as pd
        >>> tables = FindingsTables("train.py", "Fine.", [], {}, pd.DataFrame(), [])
        >>> FindingsTables("train.py", "Fine.", [], {}, pd.DataFrame({"code": ["A"]}), [])
        Traceback (most recent call last):
        normwise.errors.UsageError: findings lacks the columns level, name, where, place, step, \
message, advice
    """

    title: str
    verdict: str
    notes: Sequence[str]
    facts: Mapping[str, str]
    findings: pd.DataFrame
    trainings: Sequence[TrainingTables]

    def __post_init__(self) -> None:
        problems = Problems()
        tables = [("findings", self.findings, FINDINGS)]
        for training in self.trainings:
            tables += [
                ("loss", training.loss, LOSS),
                ("layers", training.layers, LAYERS),
                ("histograms", training.histograms, HISTOGRAMS),
                ("weights", training.weights, WEIGHTS),
            ]
        for name, table, columns in tables:
            absent = [column for column in columns if column not in table.columns]
            if len(table) and absent:
                problems.add(f"{name} lacks the columns {', '.join(absent)}")
        problems.raise_if_any()
