"""What every claim is."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from normwise.data import Data
from normwise.lab.budget import Budget
from normwise.lab.result import Number, Result
from normwise.lab.verdicts import Verdict
from normwise.report import Chart


class Claim(ABC):
    """A statement, and the experiment that tests it.

    A claim is one class in a file of its name in `normwise/lab/claims`. What would refute it and
    the criterion of the verdict stand in the class, before any data are seen.

    Attributes:
        name: words joined by hyphens.
        statement: what is claimed, in one sentence.
        source: who says so: paper and equation.
        formula: the mathematics of it, as LaTeX; empty where there is none.
        experiment: what is done, in a sentence or three.
        measured: what is measured.
        refuted_by: what outcome would refute it.
        criterion: when the verdict is *holds*, when *fails*, and when *inconclusive*.
        errata: numbers of those in `normwise.lab.ERRATA` that belong to it.

    Example:
        >>> from normwise.lab import all_claims
        >>> all_claims()["bn-speed"].statement
        'Batch normalization lowers the training loss much faster.'
    """

    name: ClassVar[str]
    statement: ClassVar[str]
    source: ClassVar[str]
    formula: ClassVar[str] = ""
    experiment: ClassVar[str]
    measured: ClassVar[str]
    refuted_by: ClassVar[str]
    criterion: ClassVar[str]
    errata: ClassVar[tuple[int, ...]] = ()

    @abstractmethod
    def run(self, seed: int, data: Data, budget: Budget) -> Result:
        """Do the experiment.

        Args:
            seed: of all random numbers; an experiment over n seeds takes seed … seed + n - 1.
            data: what to train on, where the claim is about training.
            budget: how many seeds, and how long.
        """

    def result(
        self,
        verdict: Verdict,
        numbers: Sequence[Number],
        figures: Sequence[Chart] = (),
        notes: Sequence[str] = (),
    ) -> Result:
        """Return a result of this claim."""
        return Result(self, verdict, tuple(numbers), tuple(figures), tuple(notes))
