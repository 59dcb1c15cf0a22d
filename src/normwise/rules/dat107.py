"""DAT107: a network that gets better on the training data alone."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from normwise.evidence import Evidence, Level, Loss, Series
from normwise.rules.finding import Finding
from normwise.rules.rule import NotEnough, Rule

_SMOOTHED = 3  # evaluations


@dataclass(frozen=True)
class Overfitting(Rule):
    """The validation loss rises again while the training loss still falls.

    What it does:
        Follows one loss function in training and around passes in evaluation mode, averages the
        latter over three evaluations, and looks for the smallest. It is reported where the
        validation loss has since risen by a good part of what the training loss fell in all, and
        the training loss went on falling.

    Why it is bad:
        From there on the network learns the training samples by heart. The last weights are worse
        than earlier ones.

    Example:
        A wide network that is trained for hundreds of epochs on a few hundred samples.

    Fix:
        Keep the weights of the best evaluation, or stop there (`early_stop`); use more data,
        augmentation, weight decay or dropout.

    References:
        Prechelt: Early Stopping - But When? (1998).

    Attributes:
        rise: the rise of the validation loss, as a share of the training loss's fall, above which
            it is reported.
        evaluations: how many must have been measured.
    """

    code = "DAT107"
    name = "overfitting"
    level = "warning"
    since = "0.1.0"
    needs = Level.TRAINING

    rise: float = 0.25
    evaluations: int = 6

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per loss function."""
        pairs = list(self._pairs(evidence))
        if not pairs:
            raise NotEnough(f"fewer than {self.evaluations} evaluations with a loss were measured")
        for training, validation in pairs:
            smooth = np.convolve(validation.values, np.full(_SMOOTHED, 1 / _SMOOTHED), "valid")
            best = int(smooth.argmin())
            # Where the first ones are the best, it turned before what they are averaged over.
            turn = int(validation.steps[best + _SMOOTHED // 2 if best else 0])
            fallen = _at_start(training) - _at_end(training)
            still = _around(training, turn) - _at_end(training)
            rise = float(smooth[-1] - smooth[best])
            if fallen > 0 and still > 0.05 * fallen and rise > self.rise * fallen:
                yield self.finding(
                    "",
                    f"the validation loss rose from {smooth[best]:.3g} at step {turn} to "
                    f"{smooth[-1]:.3g}, while the training loss fell to {_at_end(training):.3g}",
                    "keep the weights of the best evaluation or stop there; use more data, weight "
                    "decay or dropout",
                    value=rise / fallen,
                    threshold=self.rise,
                    step=turn,
                    confidence=0.9,
                )

    def _pairs(self, evidence: Evidence) -> Iterator[tuple[Series, Series]]:
        for name in dict.fromkeys(loss.name for loss in evidence.losses):
            same = [loss for loss in evidence.losses if loss.name == name]
            training, validation = _longest(same, training=True), _longest(same, training=False)
            if training is None or validation is None:
                continue
            if len(validation.values) >= self.evaluations and len(training.values) > 2:
                yield training, validation


def _longest(losses: list[Loss], *, training: bool) -> Series | None:
    series = [loss.value for loss in losses if loss.training == training]
    return max(series, key=lambda each: each.count, default=None)


def _at_start(series: Series) -> float:
    return float(series.values[: _tenth(series)].mean())


def _at_end(series: Series) -> float:
    return float(series.values[-_tenth(series) :].mean())


def _around(series: Series, step: int) -> float:
    """Return the mean of a tenth of the values, about a step."""
    middle, half = int(np.searchsorted(series.steps, step)), _tenth(series) // 2
    near = series.values[max(0, middle - half) : middle + half + 1]
    return float(near.mean()) if len(near) else _at_end(series)


def _tenth(series: Series) -> int:
    return max(1, len(series.values) // 10)
