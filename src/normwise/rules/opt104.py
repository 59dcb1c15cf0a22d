"""OPT104: steps too small to get anywhere."""

from collections.abc import Iterator
from dataclasses import dataclass

from normwise.evidence import Evidence, Level
from normwise.rules.finding import Finding
from normwise.rules.rule import NotEnough, Rule
from normwise.rules.steps import moved


@dataclass(frozen=True)
class UpdatesTooSmall(Rule):
    """The optimizer's steps hardly move the weights.

    What it does:
        Takes, over all weight matrices of an optimizer and all measured steps, the largest change
        of a matrix relative to its size. Steps of 1e-3 are usual.

    Why it is bad:
        Weights that change by 1e-5 in a step need 100,000 steps to become others; below 1e-7 the
        change is lost in rounding.

    Example:
        SGD with the learning rate that suits Adam, such as 1e-5.

    Fix:
        Raise the learning rate until steps are about 1e-3 of the weights.

    References:
        Karpathy: CS231n, Neural Networks Part 3, "Ratio of weights:updates".

    Attributes:
        least: the change below which it is reported.
        updates: how many updates of a matrix must have been measured.
    """

    code = "OPT104"
    name = "updates-too-small"
    level = "warning"
    since = "0.1.0"
    needs = Level.TRAINING

    least: float = 1e-5
    updates: int = 2

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per optimizer."""
        judged = list(moved(evidence, self.updates))
        if not judged:
            raise NotEnough(f"fewer than {self.updates} updates of any weight were measured")
        for optimizer, matrices in judged:
            largest = max(parameter.ratio.high for parameter in matrices)
            if largest < self.least:
                yield self.finding(
                    optimizer.type,
                    f"no step moves any of {len(matrices)} weights by more than {largest:.1g} of "
                    "its size",
                    "raise the learning rate until steps are about 1e-3 of the weights",
                    value=largest,
                    threshold=self.least,
                    confidence=0.8,
                )
