"""From a measured quantity to a verdict."""

import math
from typing import Literal

Verdict = Literal["holds", "fails", "inconclusive"]

_ORDER: tuple[Verdict, ...] = ("fails", "inconclusive", "holds")


def above(low: float, high: float, bound: float) -> Verdict:
    """Judge the claim that a quantity exceeds a bound, by the quantity's interval.

    Args:
        low: lower end of the quantity's interval.
        high: its upper end; where an end is NaN the verdict is *inconclusive*.
        bound: what the whole interval must lie above, or below for *fails*.

    Example:
        >>> above(0.1, 0.3, bound=0), above(-0.2, -0.1, bound=0), above(-0.1, 0.1, bound=0)
        ('holds', 'fails', 'inconclusive')
    """
    if math.isnan(low) or math.isnan(high):
        return "inconclusive"
    return "holds" if low > bound else "fails" if high < bound else "inconclusive"


def below(low: float, high: float, bound: float) -> Verdict:
    """Judge the claim that a quantity stays below a bound, by the quantity's interval.

    Args:
        low: lower end of the quantity's interval.
        high: its upper end; where an end is NaN the verdict is *inconclusive*.
        bound: what the whole interval must lie below, or above for *fails*.

    Example:
        >>> below(0.1, 0.3, bound=1)
        'holds'
    """
    return above(-high, -low, -bound)


def inside(low: float, high: float, bounds: tuple[float, float]) -> Verdict:
    """Judge the claim that a quantity lies between two bounds, by the quantity's interval.

    Args:
        low: lower end of the quantity's interval.
        high: its upper end; where an end is NaN the verdict is *inconclusive*.
        bounds: between which the whole interval must lie, the lower first.

    Example:
        >>> inside(0.9, 1.1, bounds=(0.5, 2)), inside(0.1, 0.4, bounds=(0.5, 2))
        ('holds', 'fails')
    """
    return both(above(low, high, bounds[0]), below(low, high, bounds[1]))


def within(error: float, tolerance: float) -> Verdict:
    """Judge the claim that two things are equal, by the largest difference; NaN is no equality.

    Args:
        error: the largest difference.
        tolerance: the largest that rounding explains.

    Example:
        >>> within(1e-12, tolerance=1e-10), within(float("nan"), tolerance=1.0)
        ('holds', 'fails')
    """
    return "holds" if error <= tolerance else "fails"


def both(*verdicts: Verdict) -> Verdict:
    """Judge a claim of several parts: it holds where all do, and fails where one fails.

    Args:
        verdicts: one or more, of the parts.

    Example:
        >>> both("holds", "inconclusive"), both("holds", "inconclusive", "fails")
        ('inconclusive', 'fails')
    """
    return min(verdicts, key=_ORDER.index)


def either(*verdicts: Verdict) -> Verdict:
    """Judge a claim that something exists: it holds where one holds, and fails where all fail.

    Args:
        verdicts: one or more, of the candidates.

    Example:
        >>> either("holds", "fails"), either("inconclusive", "fails"), either("fails", "fails")
        ('holds', 'inconclusive', 'fails')
    """
    return max(verdicts, key=_ORDER.index)
