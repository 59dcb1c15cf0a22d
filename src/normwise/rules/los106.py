"""LOS106: a loss that stays where it began, at that of a guess."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import log

import numpy as np

from normwise.evidence import Evidence, Level, Loss, Series
from normwise.rules.finding import Finding
from normwise.rules.quarters import is_adversarial, noise, quarters
from normwise.rules.rule import NotEnough, Rule


@dataclass(frozen=True)
class LossDoesNotMove(Rule):
    """The loss stays at that of a guess.

    What it does:
        Compares the median loss of the first quarter of the training with that of the last. It is
        reported where both agree, but for noise, and are no lower than what a constant guess
        reaches: the entropy of the classes' frequencies for cross-entropy, the variance of the
        targets for the mean squared error. A part of a sum that moves as a whole is left out, as
        are losses that several optimizers play for.

    Why it is bad:
        The network has learned nothing about the inputs.

    Example:
        A learning rate of 1e-8; targets shuffled without their inputs; dead first layers.

    Fix:
        Try to fit a single batch. If that fails, look at the learning rate, at the gradients of
        the first layers and at whether inputs and targets belong together.

    References:
        Karpathy: A Recipe for Training Neural Networks (2019), "overfit one batch".

    Attributes:
        least: the relative change of the loss below which it has not moved, where noise is less.
        margin: how far below that of a guess it may lie, relatively.
        steps: how many optimizer steps must have been made.
        calls: how many losses must have been measured.
    """

    code = "LOS106"
    name = "loss-does-not-move"
    level = "warning"
    since = "0.1.0"
    needs = Level.TRAINING

    least: float = 0.005
    margin: float = 0.02
    steps: int = 100
    calls: int = 20

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per place where the loss is called."""
        if is_adversarial(evidence):
            raise NotEnough("several optimizers are at work, which may play against each other")
        judged = [
            (loss, chance)
            for loss in evidence.losses
            if loss.training and loss.calls >= self.calls and (chance := _chance(loss)) > 0
        ]
        if evidence.steps < self.steps or not judged:
            raise NotEnough(f"no loss of known chance level was followed for {self.steps} steps")
        if evidence.objective.count and not self._is_still(evidence.objective):
            return
        for loss, chance in judged:
            first, last = quarters(loss.value)
            halved = last < first / 2  # which noise with few large values would hide
            near = loss.value.mean > (1 - self.margin) * chance
            if self._is_still(loss.value) and near and not halved:
                yield self.finding(
                    loss.module or loss.place,
                    f"{loss.name} was {first:.3g} at first and {last:.3g} after {evidence.steps} "
                    f"steps; a constant guess gives {chance:.3g}",
                    "try to fit a single batch; look at the learning rate, and at whether inputs "
                    "and targets belong together",
                    value=abs(last - first) / first,
                    threshold=self.least,
                    confidence=0.8,
                )

    def _is_still(self, series: Series) -> bool:
        first, last = quarters(series)
        return abs(last - first) < max(self.least * abs(first), 3 * noise(series))


def _chance(loss: Loss) -> float:
    """Return the loss of the best constant guess, or 0 where it is not known."""
    if loss.options.get("reduction", "mean") != "mean":
        return 0.0
    if loss.name == "cross_entropy" and loss.target_counts is not None:
        shares = loss.target_counts[loss.target_counts > 0] / loss.target_counts.sum()
        return float(-(shares * np.log(shares)).sum())
    if loss.target_var.count == 0 or not loss.target_var.low > 0:
        return 0.0
    if loss.name == "mse_loss":
        return loss.target_var.mean
    share = loss.target_mean.mean
    if loss.name.startswith("binary_cross_entropy") and 0 < share < 1:
        return -share * log(share) - (1 - share) * log(1 - share)
    return 0.0
