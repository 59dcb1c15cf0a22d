"""LOS107: a loss that grows without bound."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import log

from normwise.evidence import Evidence, Level, Loss, Series
from normwise.rules.finding import Finding
from normwise.rules.quarters import is_adversarial, quarters
from normwise.rules.rule import NotEnough, Rule

_ADVICE = "lower the learning rate, warm it up, or clip gradients"


@dataclass(frozen=True)
class LossDiverges(Rule):
    """The training loss grows without bound, or is no number any more.

    What it does:
        Looks whether the loss that was propagated back became infinite or NaN and stayed so; and
        whether a cross-entropy or mean squared error was, in the last quarter of the training, far
        above both its first value and what a constant guess gives. Growth is not judged where
        several optimizers may play against each other.

    Why it is bad:
        The steps overshoot: the weights are worse than at random, and nothing learned is left.

    Example:
        Plain SGD with a learning rate of 10.

    Fix:
        Lower the learning rate tenfold, warm it up, or clip gradients.

    References:
        Goodfellow, Bengio, Courville: Deep Learning (2016), section 11.4.1.

    Attributes:
        most: the multiple of the first loss, and of that of a guess, above which it is reported.
        calls: how many losses must have been measured before growth is judged.
    """

    code = "LOS107"
    name = "loss-diverges"
    level = "error"
    since = "0.1.0"
    needs = Level.TRAINING

    most: float = 3.0
    calls: int = 8

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding for a loss that is no number, else one per place of a loss."""
        followed = [loss for loss in evidence.losses if loss.training and loss.calls >= self.calls]
        if evidence.objective.count < self.calls and not followed:
            raise NotEnough(f"fewer than {self.calls} losses were measured")
        step = _end(evidence.objective)
        if step is not None:
            yield self.finding(
                "", f"the loss is not finite from step {step} on", _ADVICE, step=step
            )
            return
        for loss in followed if not is_adversarial(evidence) else ():
            first, (_, last) = loss.value.first, quarters(loss.value)
            bound = self.most * max(first, _guess(loss))
            if last > bound:
                yield self.finding(
                    loss.module or loss.place,
                    f"{loss.name} grew from {first:.3g} to {last:.3g}",
                    _ADVICE,
                    value=last,
                    threshold=bound,
                    confidence=0.9,
                )


def _end(series: Series) -> int | None:
    """Return the step from which on nothing was finite."""
    since = series.nonfinite_step
    recovered = since is not None and (series.steps > since).any()
    return None if recovered else since


def _guess(loss: Loss) -> float:
    """Return what a constant guess loses; infinite where that is not known."""
    if loss.name == "cross_entropy" and loss.input_shape:
        return log(max(2, loss.input_shape[min(1, len(loss.input_shape) - 1)]))
    if loss.name == "mse_loss" and loss.target_var.count:
        return (
            loss.target_var.high + max(abs(loss.target_mean.low), abs(loss.target_mean.high)) ** 2
        )
    return float("inf")
