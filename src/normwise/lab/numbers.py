"""Measured numbers as a reader wants to see them."""

import math
from collections.abc import Sequence

from normwise.lab.result import Number
from normwise.report.wording import brief, whole

Cell = tuple[str, str]  # a value and its interval


def grid(numbers: Sequence[Number]) -> tuple[list[str], list[list[Cell]]]:
    """Return numbers as the header and the rows of a table; cells are a value and its interval.

    Numbers that belong to something have a row per thing and a column per quantity; others have a
    row each, and an empty header.

    Example:
        >>> grid([Number("error", 0.5), Number("seeds", 3)])
        (['', ''], [[('error', ''), ('0.500', '')], [('seeds', ''), ('3', '')]])
        >>> grid([Number("error", 0.5, 0.41, 0.6, of="plain"), Number("error", 0.2, of="batch")])[1]
        [[('plain', ''), ('0.500', '[0.410, 0.600]')], [('batch', ''), ('0.200', '')]]
    """
    if not any(number.of for number in numbers):
        return ["", ""], [[(number.what, ""), written(number)] for number in numbers]
    columns = list(dict.fromkeys(number.what for number in numbers))
    rows = []
    for of in dict.fromkeys(number.of for number in numbers):
        found = {number.what: written(number) for number in numbers if number.of == of}
        rows.append([(of, ""), *(found.get(what, ("", "")) for what in columns)])
    return ["", *columns], rows


def written(number: Number) -> Cell:
    """Write a number with its unit, and its interval where it has one.

    Example:
        >>> written(Number("loss", 0.5, 0.41, 0.62, unit="nats"))
        ('0.500 nats', '[0.410, 0.620]')
    """
    exact = math.isnan(number.low)
    counted = exact and float(number.estimate).is_integer()
    value = whole(number.estimate) if counted else brief(number.estimate)
    interval = "" if exact else f"[{brief(number.low)}, {brief(number.high)}]"
    return " ".join(part for part in (value, number.unit) if part), interval
