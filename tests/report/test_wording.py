import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from normwise.report import wording

INF, NAN = math.inf, math.nan
SPACE = wording.THIN


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (0.9, 0.95, "[0.900, 0.950]"),
        (-0.1, INF, "[−0.100, ∞]"),
        (-INF, 0.1, "[−∞, 0.100]"),
        (-INF, INF, "(unbounded)"),
        (NAN, 0.1, ""),
    ],
)
def test_interval(low, high, text):
    assert wording.interval(low, high, 3) == text


def test_signed_interval_carries_both_signs():
    assert wording.interval(-0.01, 0.02, 2, sign=True) == "[−0.01, +0.02]"
    assert wording.interval(-INF, 0.02, 2, sign=True) == "[−∞, +0.02]"


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.002, "0.002"), (0.0004, "<0.001"), (0.0005, "0.001"), (1.0, "1.000"), (NAN, "–")],
)
def test_pvalue(p, text):
    assert wording.pvalue(p) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 %"), (0.004, "<1 %"), (0.4, "40 %"), (0.996, ">99 %"), (1, "100 %"), (NAN, "–")],
)
def test_share(value, text):
    assert wording.share(value) == text.replace(" ", SPACE)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.5, "−0.500"),
        (999.6, f"1{SPACE}000"),
        (0.99996, "1.00"),
        (123456, f"123{SPACE}456"),
        (1e300, "1e300"),
        (-2.5e-7, "−2.5e−7"),
        (INF, "∞"),
    ],
)
def test_brief(value, text):
    assert wording.brief(value) == text


def test_a_difference_that_rounds_to_zero_has_no_sign():
    assert wording.signed(0.0004, 3) == wording.signed(-0.0004, 3) == "0.000"


def test_decimals_follow_the_middle_width():
    assert wording.places_for([math.inf, math.nan, 0.0, 0.0061, 0.5, 0.004]) == 4


def test_listing():
    assert wording.listing(["a"]) == "a"
    assert wording.listing(["a", "b"]) == "a and b"


@settings(derandomize=True, deadline=None)
@given(st.floats(min_value=1e-300, max_value=1e300), st.booleans())
def test_brief_is_right_to_three_digits(size, negative):
    value = -size if negative else size
    text = wording.brief(value).replace("−", "-").replace(SPACE, "")
    assert float(text) == pytest.approx(value, rel=0.0051)


@settings(derandomize=True, deadline=None)
@given(st.text(max_size=60), st.integers(3, 40))
def test_shortened_names_fit_and_keep_both_ends(name, limit):
    short = wording.shorten(name, limit)
    assert len(short) <= limit
    if len(name) > limit:
        head, tail = short.split("…", 1) if "…" not in name else (short[:1], short[-1:])
        assert name.startswith(head)
        assert name.endswith(tail)
    else:
        assert short == name
