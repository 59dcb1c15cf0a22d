"""OPT105: steps that throw the weights about."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from normwise.evidence import Evidence, Level, Series
from normwise.rules.finding import Finding
from normwise.rules.rule import NotEnough, Rule
from normwise.rules.steps import moved


@dataclass(frozen=True)
class UpdatesTooLarge(Rule):
    """A typical step of the optimizer changes the weights by a large part of their size.

    What it does:
        Takes the median change of each weight matrix relative to its size over the measured steps,
        and the median of these over the matrices of an optimizer. Steps of 1e-3 are usual. Adam's
        steps are equally large however far the weights have gone, so their growth within the first
        steps is looked at too, again its median over the matrices.

    Why it is bad:
        Each step undoes what the steps before have found: the loss jumps about or grows.

    Example:
        Adam with a learning rate of 1.

    Fix:
        Lower the learning rate until steps are about 1e-3 of the weights; warm it up if only the
        first steps are too large.

    References:
        Karpathy: CS231n, Neural Networks Part 3, "Ratio of weights:updates".

    Attributes:
        most: the change above which it is reported.
        growth: the factor by which weights may grow within the first steps.
        early: how many steps are the first.
        updates: how many updates of a matrix must have been measured.
    """

    code = "OPT105"
    name = "updates-too-large"
    level = "warning"
    since = "0.1.0"
    needs = Level.TRAINING

    most: float = 0.1
    growth: float = 5.0
    early: int = 64
    updates: int = 2

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per optimizer."""
        judged = list(moved(evidence, self.updates))
        if not judged:
            raise NotEnough(f"fewer than {self.updates} updates of any weight were measured")
        for optimizer, matrices in judged:
            typical = float(np.median([np.median(p.ratio.values) for p in matrices]))
            if typical > self.most:
                yield self.finding(
                    optimizer.type,
                    f"a typical step changes a weight by {typical:.0%} of its size",
                    "lower the learning rate until steps are about 1e-3 of the weights",
                    value=typical,
                    threshold=self.most,
                    confidence=0.8,
                )
                continue
            growth = float(np.median([_growth(p.weight, self.early) for p in matrices]))
            if growth > self.growth:
                yield self.finding(
                    optimizer.type,
                    f"the weights grew {growth:.2g}-fold within the first {self.early} steps",
                    "lower the learning rate until steps are about 1e-3 of the weights",
                    value=growth,
                    threshold=self.growth,
                    confidence=0.8,
                )


def _growth(weight: Series, early: int) -> float:
    first = weight.values[weight.steps <= weight.steps[0] + early]
    return float(first[-1] / first[0]) if first[0] > 0 else 1.0
