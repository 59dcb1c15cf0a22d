"""Numbers as a reader wants to see them."""

import math
from collections.abc import Iterable

_METRICS = {"acc": "accuracy", "r2": "R²"}  # others are called what they are
NONE = "–"
_MILLION = 1e6
THIN = "\u202f"  # a narrow space that does not break: 12 000, 40 %


def number(value: float, places: int) -> str:
    """Write a number with a fixed count of decimals, a true minus, ∞, or a dash for NaN.

    From a million on, decimals would say nothing, and there are three significant digits.

    Example:
        >>> number(-0.25, 3), number(float("inf"), 3), number(float("nan"), 3), number(-2e9, 3)
        ('−0.250', '∞', '–', '−2e9')
    """
    if math.isnan(value):
        return NONE
    if _MILLION <= abs(value) < math.inf:
        return brief(value)
    text = "∞" if math.isinf(value) else f"{abs(value):.{places}f}"
    negative = value < 0 and text.strip("0.")  # no minus before a number that rounds to zero
    return f"−{text}" if negative else text


def signed(value: float, places: int) -> str:
    """Write a difference: `number` with a plus where it is positive.

    Example:
        >>> signed(0.0123, 3), signed(-0.0001, 3)
        ('+0.012', '0.000')
    """
    text = number(value, places)
    return f"+{text}" if value > 0 and text.strip("0.") else text


def interval(low: float, high: float, places: int, sign: bool = False) -> str:
    """Write an interval, or nothing where there is none.

    Example:
        >>> interval(0.9, 0.95, 2), interval(float("-inf"), float("inf"), 2)
        ('[0.90, 0.95]', '(unbounded)')
    """
    if math.isnan(low) or math.isnan(high):
        return ""
    if math.isinf(low) and math.isinf(high):
        return "(unbounded)"
    write = signed if sign else number
    return f"[{write(low, places)}, {write(high, places)}]"


def pvalue(p: float) -> str:
    """Write a p value with three decimals.

    Example:
        >>> pvalue(0.00195), pvalue(0.00006), pvalue(1.0)
        ('0.002', '<0.001', '1.000')
    """
    return "<0.001" if p < 0.0005 else number(p, 3)


def brief(value: float) -> str:
    """Write a number of any size with three significant digits.

    Example:
        >>> brief(0.034567), brief(1234.6), brief(0.0000123), brief(3e9)
        ('0.0346', '1\u202f235', '1.23e−5', '3e9')
    """
    if not math.isfinite(value) or value == 0:
        return number(value, 0)
    digits, power = f"{value:.2e}".split("e")
    exponent = int(power)
    if -4 <= exponent < 3:
        return number(value, 2 - exponent)
    if 3 <= exponent < 6:
        return whole(value)
    return f"{digits.rstrip('0').rstrip('.')}e{exponent}".replace("-", "−")


def as_given(value: float) -> str:
    """Write a number that somebody chose, such as a target, as they wrote it.

    Example:
        >>> as_given(0.95), as_given(-2.0)
        ('0.95', '−2')
    """
    return f"{value:.6g}".replace("e+", "e").replace("-", "−")


def whole(value: float) -> str:
    """Write a count, its thousands set apart.

    Example:
        >>> whole(12345.4)
        '12\u202f345'
    """
    if not math.isfinite(value):
        return number(value, 0)
    return f"{value:,.0f}".replace(",", THIN).replace("-", "−")


def share(value: float) -> str:
    """Write a share of 0 to 1 as a percentage that says 0 and 100 only where they are exact.

    Example:
        >>> share(0.4), share(0.001), share(0.999), share(1.0)
        ('40\u202f%', '<1\u202f%', '>99\u202f%', '100\u202f%')
    """
    if math.isnan(value):
        return NONE
    if 0 < value < 0.01:
        return f"<1{THIN}%"
    if 0.99 < value < 1:
        return f">99{THIN}%"
    return f"{100 * value:.0f}{THIN}%"


def seconds(value: float) -> str:
    """Write a duration in seconds, three significant digits at most.

    Example:
        >>> seconds(0.456), seconds(12.34), seconds(1234.0)
        ('0.46', '12.3', '1\u202f234')
    """
    if not math.isfinite(value):
        return number(value, 0)
    return number(value, 2) if value < 1 else number(value, 1) if value < 100 else whole(value)


def places_for(widths: Iterable[float]) -> int:
    """Return the decimals that show intervals of these half-widths with two digits: 3 to 5.

    Example:
        >>> places_for([0.012, 0.034]), places_for([0.00041]), places_for([])
        (3, 5, 3)
    """
    finite = sorted(width for width in widths if math.isfinite(width) and width > 0)
    if not finite:
        return 3
    return min(5, max(3, 1 - math.floor(math.log10(finite[len(finite) // 2]))))


def metric_name(name: str) -> str:
    """Return what a score is called for the reader; that of a head may go before it.

    Example:
        >>> metric_name("acc"), metric_name("digit_r2"), metric_name("f1_score")
        ('accuracy', 'digit R²', 'f1_score')
    """
    head, _, last = name.rpartition("_")
    known = _METRICS.get(last)
    return name if known is None else f"{head} {known}".lstrip()


def listing(words: Iterable[str]) -> str:
    """Join words as a sentence does.

    Example:
        >>> listing(["a", "b", "c"])
        'a, b and c'
    """
    *head, last = list(words)
    return f"{', '.join(head)} and {last}" if head else last


def shorten(name: str, limit: int = 18) -> str:
    """Cut a long name in its middle.

    Example:
        >>> shorten("batch:after+dropout=0.25+lr=5x")
        'batch:aft…25+lr=5x'
    """
    if len(name) <= limit:
        return name
    tail = (limit - 1) // 2
    return f"{name[: limit - 1 - tail]}…{name[-tail:]}"
