"""ACT102: units that stay in a flat end of their activation."""

from collections.abc import Iterator
from dataclasses import dataclass

from normwise.evidence import Activation, Evidence, Level
from normwise.rules.finding import Finding
from normwise.rules.flow import ELEMENTWISE, LAYERS, NORMS, SUMS, entry
from normwise.rules.rule import NotEnough, Rule

_ONWARD = ELEMENTWISE | NORMS | SUMS


@dataclass(frozen=True)
class SaturatedUnits(Rule):
    """Most units of an activation stay in its flat ends.

    What it does:
        Counts the units of each sigmoid, tanh, hardsigmoid and softsign that lie in the outer 5 %
        of its range for at least 95 % of the last measured values. Only activations that feed
        further layers count: outputs and gates, which multiply another signal, may well be
        decided.

    Why it is bad:
        The slope at the ends is nearly zero, so hardly any gradient passes, and a unit that gives
        the same for all samples tells the next layer nothing.

    Example:
        A layer with tanh behind features that were never scaled and lie in the hundreds.

    Fix:
        Standardise the inputs, use smaller initial weights or a lower learning rate, put a norm
        before the activation, or use one without flat ends.

    References:
        Glorot, Bengio: Understanding the difficulty of training deep feedforward neural networks
        (2010), section 3.

    Attributes:
        most: the share of saturated units above which it is reported.
        values: how many values of each unit must have been seen.
    """

    code = "ACT102"
    name = "saturated-units"
    level = "warning"
    since = "0.1.0"
    needs = Level.FORWARD

    most: float = 0.5
    values: int = 256

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per activation."""
        bounded = {
            path: (activation, recent)
            for path, activation in evidence.activations.items()
            if (recent := activation.output.recent) is not None and recent.flat is not None
        }
        if bounded and evidence.graph is None:
            raise NotEnough("the calls of functions could not be seen")
        if bounded and all(recent.count < self.values for _, recent in bounded.values()):
            raise NotEnough(f"fewer than {self.values} values of any unit were measured")
        for path, (activation, recent) in bounded.items():
            enough = recent.count >= self.values
            if enough and recent.saturated > self.most and _is_hidden(evidence, activation):
                yield self.finding(
                    path,
                    f"{recent.saturated:.0%} of {len(recent.mean)} units stay in the flat ends of "
                    f"{activation.name}",
                    "standardise the inputs, use smaller initial weights or a lower learning rate, "
                    "or put a norm before the activation",
                    value=recent.saturated,
                    threshold=self.most,
                    confidence=0.8,
                )


def _is_hidden(evidence: Evidence, activation: Activation) -> bool:
    graph = evidence.graph
    assert graph is not None
    home = entry(evidence, activation.module)
    return any(
        taker.name in LAYERS and entry(evidence, taker.module) == home
        for node in graph.of(activation.module)
        if node.name == activation.name
        for taker in graph.consumers(node, _ONWARD)
    )
