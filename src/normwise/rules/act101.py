"""ACT101: units that never fire."""

from collections.abc import Iterator
from dataclasses import dataclass

from normwise.evidence import Evidence, Level
from normwise.rules.finding import Finding
from normwise.rules.rule import NotEnough, Rule


@dataclass(frozen=True)
class DeadUnits(Rule):
    """Most units of an activation give zero for every sample.

    What it does:
        Counts the units of each ReLU, ReLU6 and threshold whose output was zero for all values of
        the last measured batches. Zeros of single samples are what these functions are for and do
        not count.

    Why it is bad:
        A dead unit passes no gradient on, so it stays dead; the network is as narrow as what is
        left.

    Example:
        A layer whose bias has been driven far below zero by a learning rate that was too high.

    Fix:
        Lower the learning rate, put a norm before the activation, or use an activation that does
        not die, such as `nn.LeakyReLU` or `nn.GELU`.

    References:
        Lu et al.: Dying ReLU and Initialization: Theory and Numerical Examples (2019).

    Attributes:
        most: the share of dead units above which it is reported.
        values: how many values of each unit must have been seen.
    """

    code = "ACT101"
    name = "dead-units"
    level = "warning"
    since = "0.1.0"
    needs = Level.FORWARD

    most: float = 0.5
    values: int = 512

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per activation."""
        known = {
            path: recent
            for path, activation in evidence.activations.items()
            if (recent := activation.output.recent) is not None and recent.top is not None
        }
        if known and all(recent.count < self.values for recent in known.values()):
            raise NotEnough(f"fewer than {self.values} values of any unit were measured")
        for path, recent in known.items():
            if recent.dead > self.most and recent.count >= self.values:
                yield self.finding(
                    path,
                    f"{len(recent.dead_units)} of {len(recent.mean)} units gave 0 for all of the "
                    f"last {recent.count} values",
                    "lower the learning rate, put a norm before the activation, or use one that "
                    "does not die, such as nn.LeakyReLU",
                    value=recent.dead,
                    threshold=self.most,
                    confidence=0.9,
                )
