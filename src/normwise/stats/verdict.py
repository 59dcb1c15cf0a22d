"""The one place that decides what is significant."""

from typing import Literal

Verdict = Literal["better", "worse", "equivalent", "undecided"]


def verdict(
    low: float, high: float, higher_is_better: bool = True, margin: float | None = None
) -> Verdict:
    """Say in one word what an interval of a difference to the baseline shows.

    *equivalent* comes first: a difference that is surely there and surely too small to matter is
    no reason to choose. A wide interval is *undecided*; it is never evidence for "no effect".

    Args:
        low: lower end of the interval of treatment - baseline.
        high: its upper end.
        higher_is_better: True for an accuracy, False for a loss or a time.
        margin: the largest difference that does not matter; None leaves *equivalent* out.

    Returns:
        `"equivalent"` where the interval lies in [-margin, margin]; else `"better"` or `"worse"`
        where it lies on one side of 0; else `"undecided"`.

    Example:
        >>> verdict(0.01, 0.03), verdict(0.01, 0.03, higher_is_better=False)
        ('better', 'worse')
        >>> verdict(-0.2, 0.3), verdict(0.01, 0.03, margin=0.05)
        ('undecided', 'equivalent')
    """
    if margin is not None and -margin <= low and high <= margin:
        return "equivalent"
    if low > 0 or high < 0:
        return "better" if (low > 0) == higher_is_better else "worse"
    return "undecided"
