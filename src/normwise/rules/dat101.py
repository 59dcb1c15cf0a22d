"""DAT101: features of which some are far larger than others."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from normwise.evidence import Evidence, Level, Units
from normwise.rules.finding import Finding
from normwise.rules.inputs import raw_inputs
from normwise.rules.rule import Rule

MOST = 100.0


@dataclass(frozen=True)
class FeaturesOfUnlikeScale(Rule):
    """Some features of the input vary a hundred times as much as others.

    What it does:
        Divides the largest standard deviation among the features by their lower quartile, constant
        features aside; with four features and fewer, by the smallest. Networks that begin with a
        norm are left out, and those that prepare their inputs by themselves.

    Why it is bad:
        The large features alone decide the first layer's outputs. The loss is steep along their
        weights and flat along the others, so any learning rate is too large or too small.

    Example:
        An income in euros next to an age in years and a share between 0 and 1.

    Fix:
        Subtract each feature's mean and divide by its standard deviation, both of the training
        data; or begin with `nn.BatchNorm1d(features, affine=False)`.

    References:
        LeCun, Bottou, Orr, Müller: Efficient BackProp (1998), section 4.3.

    Attributes:
        most: the ratio above which it is reported.
    """

    code = "DAT101"
    name = "features-of-unlike-scale"
    level = "warning"
    since = "0.1.0"
    needs = Level.FORWARD

    most: float = MOST

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per network."""
        for entry, units in raw_inputs(evidence).items():
            ratio = unlikeness(units)
            if ratio > self.most:
                largest = int(np.argmax(units.var))
                yield self.finding(
                    entry,
                    f"feature {largest} has a standard deviation of "
                    f"{np.sqrt(units.var[largest]):.3g}, {ratio:.3g} times that of smaller ones",
                    "standardise each feature by the mean and standard deviation of the training "
                    "data",
                    value=ratio,
                    threshold=self.most,
                )


def unlikeness(units: Units) -> float:
    """Return how many times as much as the lower quartile of features the largest one varies."""
    scales = np.sqrt(np.delete(units.var, units.constant_units))
    if len(scales) < 2:
        return 1.0
    return float(scales.max() / np.quantile(scales, 0.25, method="lower"))
