import math

import pytest

from normwise.stats import verdict


@pytest.mark.parametrize(
    ("low", "high", "higher_is_better", "margin", "word"),
    [
        (0.1, 0.3, True, None, "better"),
        (0.1, 0.3, False, None, "worse"),
        (-0.3, -0.1, True, None, "worse"),
        (-0.3, -0.1, False, None, "better"),
        (-0.1, 0.3, True, None, "undecided"),
        (0.0, 0.3, True, None, "undecided"),
        (-0.3, 0.0, True, None, "undecided"),
        (0.0, 0.0, True, None, "undecided"),
        (0.0, 0.0, True, 0.1, "equivalent"),
        (-0.1, 0.1, True, 0.1, "equivalent"),
        (-0.1, 0.11, True, 0.1, "undecided"),
        (-0.11, 0.1, True, 0.1, "undecided"),
        (0.01, 0.09, True, 0.1, "equivalent"),
        (0.01, 0.11, True, 0.1, "better"),
        (0.01, 0.11, False, 0.1, "worse"),
        (-math.inf, math.inf, True, 0.1, "undecided"),
        (math.nan, math.nan, True, 0.1, "undecided"),
    ],
)
def test_word_follows_from_interval_direction_and_margin(
    low: float, high: float, higher_is_better: bool, margin: float | None, word: str
):
    assert verdict(low, high, higher_is_better, margin) == word
