"""What an experiment found."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from normwise.lab.budget import BUDGETS, Budget
from normwise.lab.verdicts import Verdict
from normwise.report import Chart

if TYPE_CHECKING:
    from normwise.lab.claim import Claim


@dataclass(frozen=True)
class Number:
    """One measured number.

    Attributes:
        what: it is, with how it was measured where that is not plain: "steps to the target".
        estimate: the number; NaN where there is none.
        low: lower end of its 95 % interval; NaN where it is exact.
        high: upper end.
        unit: of it, such as "steps"; empty for a pure number.
        of: whose it is, such as a variant; numbers of the same `what` are then shown as a column.

    Example:
        >>> Number("largest error", 2.5e-14).unit
        ''
    """

    what: str
    estimate: float
    low: float = math.nan
    high: float = math.nan
    unit: str = ""
    of: str = ""


@dataclass(frozen=True, eq=False)
class Result:
    """A verdict, and everything behind it.

    Attributes:
        claim: what was tested.
        verdict: `"holds"`, `"fails"` or `"inconclusive"`.
        numbers: behind the verdict, the deciding one first.
        figures: one or two.
        notes: what a reader should know, a sentence each; a claim that fails says why here.
        data: name of the data set.
        seed: the first.
        budget: how many seeds, and how long.
        seconds: that the experiment took.

    Example:
        >>> import normwise as nw
        >>> nw.lab.run("bn-identity").verdict
        'holds'
    """

    claim: Claim
    verdict: Verdict
    numbers: tuple[Number, ...]
    figures: tuple[Chart, ...]
    notes: tuple[str, ...]
    data: str = ""
    seed: int = 0
    budget: Budget = BUDGETS["full"]
    seconds: float = math.nan

    def number(self, what: str, of: str = "") -> Number:
        """Return one of the numbers.

        Args:
            what: what was measured, as the table's head names it.
            of: the variant or case that it was measured of; empty for a number of the whole.

        Raises:
            KeyError: there is none of this name.
        """
        for number in self.numbers:
            if (number.what, number.of) == (what, of):
                return number
        raise KeyError((what, of))

    def frame(self) -> pd.DataFrame:
        """Return one row per number: `of`, `what`, `estimate`, `low`, `high`, `unit`."""
        columns = ["of", "what", "estimate", "low", "high", "unit"]
        return pd.DataFrame([vars(number) for number in self.numbers], columns=pd.Index(columns))

    def to_dict(self) -> dict[str, object]:
        """Return all but the figures as plain values; a number that is not finite is None."""
        return {
            "claim": self.claim.name,
            "statement": self.claim.statement,
            "verdict": self.verdict,
            "criterion": self.claim.criterion,
            "numbers": [
                {key: _plain(value) for key, value in vars(each).items()} for each in self.numbers
            ],
            "notes": list(self.notes),
            "data": self.data,
            "seed": self.seed,
            "seeds": self.budget.seeds,
            "length": self.budget.length,
            "seconds": _plain(self.seconds),
        }

    def to_json(self) -> str:
        """Return `to_dict` as text."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False)

    def __repr__(self) -> str:
        return f"<{self.claim.name} {self.verdict}: {self.claim.statement}>"


def _plain(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value
