import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from normwise.report import Hills, hill_rows
from normwise.report.drawing import look


@given(arrays(float, st.integers(1, 60), elements=st.floats(-1e3, 1e3)), st.integers(1, 50))
def test_a_hills_area_is_the_share_that_it_shows(values: np.ndarray, bins: int):
    table = pd.DataFrame(hill_rows("a", "b", values, bins))
    assert len(table) == bins
    inside = (values >= table["left"].min()) & (values <= table["right"].max())
    area = (table["density"] * (table["right"] - table["left"])).sum()
    assert area == pytest.approx(inside.mean(), abs=1e-9)


def test_what_is_not_finite_is_left_out():
    table = pd.DataFrame(hill_rows("a", "b", [np.nan, np.inf, 1.0, 2.0]))
    assert table["left"].min() >= 1
    assert table["right"].max() <= 2


def test_a_column_per_series_and_a_row_per_moment():
    rows = [
        row
        for place, column in enumerate(["plain", "batch"])
        for moment in ("step 0", "step 9")
        for row in hill_rows(column, moment, np.arange(9) + place, note=f"σ {place}")
    ]
    with look():
        figure = Hills("Inside", "", "pre-activation", pd.DataFrame(rows), baseline="plain").draw()
    plain, batch = figure.axes
    assert plain.get_xlim() == batch.get_xlim()
    words = [[text.get_text() for text in axes.texts] for axes in figure.axes]
    assert words[0].count("σ 0") == 2
    assert {"plain", "step 0", "step 9"} <= set(words[0])
    assert words[1].count("σ 1") == 2
    assert "step 0" not in words[1]
    assert len(plain.collections) == 2
