"""OPT105: steps that throw the weights about."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from normwise.evidence import Evidence, Level
from normwise.rules.finding import Finding
from normwise.rules.rule import NotEnough, Rule
from normwise.rules.steps import moved


@dataclass(frozen=True)
class UpdatesTooLarge(Rule):
    """A typical step of the optimizer changes the weights by a large part of their size.

    What it does:
        Takes the median change of each weight matrix relative to its size over the measured steps,
        and the median of these over the matrices of an optimizer. Steps of 1e-3 are usual; the
        first ones from small initial weights may be large.

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
        updates: how many updates of a matrix must have been measured.
    """

    code = "OPT105"
    name = "updates-too-large"
    level = "warning"
    since = "0.1.0"
    needs = Level.TRAINING

    most: float = 0.2
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
