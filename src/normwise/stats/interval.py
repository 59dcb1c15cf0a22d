"""An estimate and the interval around it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval, in the unit of what was measured.

    Attributes:
        estimate: the figure computed from the data.
        low: lower end of the interval; `nan` where the data cannot give one.
        high: upper end, likewise.

    Example:
        >>> accuracy = Interval(estimate=0.95, low=0.94, high=0.96)
        >>> round(accuracy.high - accuracy.low, 3)
        0.02
    """

    estimate: float
    low: float
    high: float
