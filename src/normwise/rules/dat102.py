"""DAT102: inputs that are far too large, too small or off centre."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from normwise.evidence import Evidence, Level
from normwise.rules.dat101 import MOST, unlikeness
from normwise.rules.finding import Finding
from normwise.rules.inputs import raw_inputs
from normwise.rules.rule import Rule


@dataclass(frozen=True)
class InputsFarFromStandardised(Rule):
    """The inputs are far from a mean of 0 and a standard deviation of 1.

    What it does:
        Takes the median over the features, or over an image's channels, of the root mean square
        and of the mean divided by the standard deviation. Values between 0 and 1 are near enough.
        Networks that begin with a norm are left out, and those that prepare their inputs by
        themselves.

    Why it is bad:
        Initial weights are made for inputs of size 1. Larger ones saturate units and call for tiny
        learning rates, smaller ones leave nothing but the biases; and far off centre, all weights
        of a unit have to move together.

    Example:
        Images of whole numbers from 0 to 255, or temperatures in kelvin.

    Fix:
        Subtract the mean and divide by the standard deviation of the training data.

    References:
        LeCun, Bottou, Orr, Müller: Efficient BackProp (1998), section 4.3.

    Attributes:
        large: the root mean square above which it is reported.
        small: that below which it is.
        off: the distance of the mean from 0, in standard deviations, above which it is reported.
    """

    code = "DAT102"
    name = "inputs-far-from-standardised"
    level = "warning"
    since = "0.1.0"
    needs = Level.FORWARD

    large: float = 10.0
    small: float = 1e-2
    off: float = 10.0

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per network."""
        for entry, units in raw_inputs(evidence).items():
            varying = np.delete(np.arange(len(units.var)), units.constant_units)
            if not len(varying) or unlikeness(units) > MOST:  # which DAT101 reports
                continue
            judged = self._judge(units.mean[varying], units.var[varying])
            if judged is not None:
                what, value, threshold = judged
                yield self.finding(
                    entry,
                    f"the median feature has {what} of {value:.3g}",
                    "subtract the mean and divide by the standard deviation of the training data",
                    value=value,
                    threshold=threshold,
                )

    def _judge(self, mean: np.ndarray, var: np.ndarray) -> tuple[str, float, float] | None:
        size = float(np.median(np.sqrt(mean**2 + var)))
        off = float(np.median(np.abs(mean) / np.sqrt(var)))
        if off > self.off:
            return "a mean, in standard deviations,", off, self.off
        if size > self.large:
            return "a root mean square", size, self.large
        return ("a root mean square", size, self.small) if size < self.small else None
