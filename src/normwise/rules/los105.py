"""LOS105: a first loss far above that of a guess."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import log

from normwise.evidence import Evidence, Level, Loss
from normwise.rules.finding import Finding
from normwise.rules.rule import NotEnough, Rule


@dataclass(frozen=True)
class InitialLossFarFromChance(Rule):
    """The first loss is far above that of a network that knows nothing.

    What it does:
        Compares the first cross-entropy with log(classes), which equal probabilities give. A
        first loss below it is that of a network that has learned before.

    Why it is bad:
        The network begins with confident nonsense: the first steps only shrink the logits, and
        with saturated activations it may never recover.

    Example:
        A last layer drawn with a standard deviation of 1, or inputs in the hundreds.

    Fix:
        Draw the last layer's weights small, or zero; standardise the inputs; use norms.

    References:
        Karpathy: A Recipe for Training Neural Networks (2019), "verify loss @ init".

    Attributes:
        most: the multiple of the loss at chance above which it is reported.
    """

    code = "LOS105"
    name = "initial-loss-far-from-chance"
    level = "warning"
    since = "0.1.0"
    needs = Level.FORWARD

    most: float = 2.0

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per place where the loss is called."""
        judged = [loss for loss in evidence.losses if _is_judged(loss)]
        if not judged:
            raise NotEnough("no first loss of classes was seen")
        for loss in judged:
            chance, first = log(_classes(loss)), loss.value.first
            if first > self.most * chance:
                yield self.finding(
                    loss.module or loss.place,
                    f"the first {loss.name} was {first:.3g}, where a guess among "
                    f"{_classes(loss)} classes gives {chance:.3g}",
                    "draw the last layer's weights small, and standardise the inputs",
                    value=first,
                    threshold=self.most * chance,
                    confidence=0.8,
                    step=0,
                )


def _is_judged(loss: Loss) -> bool:
    averaged = loss.options.get("reduction", loss.options.get(6, "mean")) == "mean"
    fresh = loss.value.count > 0 and len(loss.value.steps) > 0 and loss.value.steps[0] == 0
    logits = loss.name == "cross_entropy" and loss.target_is_index
    return logits and loss.training and averaged and fresh and _classes(loss) > 1


def _classes(loss: Loss) -> int:
    return loss.input_shape[min(1, len(loss.input_shape) - 1)]
