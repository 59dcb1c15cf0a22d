import numpy as np
import pandas as pd
import pytest

from normwise.errors import UsageError
from normwise.report import Dots
from normwise.report.drawing import look

TABLE = pd.DataFrame(
    {
        "row": ["plain", "batch", "plain", "batch"],
        "series": ["relu", "relu", "sigmoid", "sigmoid"],
        "estimate": [1.0, 0.25, 4.0, 0.5],
        "low": [0.9, 0.2, 3.0, 0.4],
        "high": [1.1, 0.3, np.inf, 0.6],
    }
)


def drawn(chart: Dots):
    with look():
        return chart.draw()


def marks(axes) -> list[tuple[float, float]]:
    """Return the dots' positions."""
    return [tuple(line.get_xydata()[0]) for line in axes.lines if line.get_marker() == "o"]


def test_dots_stand_at_their_estimates_in_their_rows():
    figure = drawn(Dots("Steps", "", "steps", TABLE[:2]))
    [axes] = figure.axes
    assert marks(axes) == [(1.0, 0.0), (0.25, 1.0)]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["plain", "batch"]
    assert [text.get_text() for text in axes.texts] == ["1.00", "0.250"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1], "the first row is at the top"


def test_series_stand_below_each_other_in_a_row():
    figure = drawn(Dots("Steps", "", "steps", TABLE))
    [axes] = figure.axes
    (_, first), (_, _), (_, second), _ = marks(axes)
    assert -0.5 < first < 0 < second < 0.5
    assert {"● relu", "● sigmoid"} <= {text.get_text() for text in figure.texts}


def test_an_unbounded_interval_ends_at_the_frame():
    [axes] = drawn(Dots("Steps", "", "steps", TABLE)).axes
    ends = [line.get_xdata() for line in axes.lines if len(line.get_xdata()) == 2]
    assert any(np.allclose(end, [3.0, axes.get_xlim()[1]]) for end in ends)


def test_a_reference_is_within_the_frame_and_named():
    chart = Dots("Steps", "", "steps", TABLE[:2], reference=7.0, reference_label="as many")
    [axes] = drawn(chart).axes
    assert axes.get_xlim()[1] > 7
    assert "as many" in [text.get_text() for text in axes.texts]


def test_a_logarithmic_axis_leaves_zero_out():
    table = TABLE[:2].assign(estimate=[0.0, 1e-14], low=[np.nan, np.nan], high=[np.nan, np.nan])
    [axes] = drawn(Dots("Error", "", "error", table, log=True)).axes
    assert marks(axes) == [(1e-14, 1.0)]


def test_a_table_that_cannot_be_drawn_is_refused():
    with pytest.raises(UsageError, match="lacks estimate"):
        Dots("Steps", "", "steps", TABLE[["row"]])
