import math

from hypothesis import given
from hypothesis import strategies as st

from normwise.lab import above, below, both

REALS = st.floats(-1e6, 1e6)


@given(REALS, REALS, REALS)
def test_below_is_above_upside_down(a: float, b: float, bound: float):
    low, high = sorted((a, b))
    opposite = {"holds": "fails", "fails": "holds", "inconclusive": "inconclusive"}
    assert below(low, high, bound) == opposite[above(low, high, bound)]


def test_an_unbounded_or_missing_interval_decides_nothing():
    assert above(-math.inf, math.inf, 0) == "inconclusive"
    assert above(math.nan, math.nan, 0) == "inconclusive"
    assert below(math.nan, 1, 0) == "inconclusive"


def test_the_worst_part_decides():
    assert both("holds", "holds") == "holds"
    assert both("holds", "inconclusive") == "inconclusive"
    assert both("inconclusive", "fails", "holds") == "fails"
