from dataclasses import replace

import numpy as np

from normwise.report import drawing
from normwise.report.differences import draw_differences
from normwise.report.palette import LIGHT


def draw(tables, **changes):
    summary = tables.summary.copy()
    for column, value in changes.items():
        summary.loc[summary["variant"] == "batch", column] = value
    with drawing.look():
        return draw_differences(replace(tables, summary=summary)).axes[0]


def batch_lines(axes):
    return [line for line in axes.lines if line.get_gid() == "variant-1"]


def test_bars_are_the_intervals_and_dots_the_differences(tables):
    bar, dot = batch_lines(draw(tables))
    row = tables.summary.set_index("variant").loc["batch"]
    assert np.allclose(bar.get_xdata(), [row["difference_low"], row["difference_high"]])
    assert np.allclose(dot.get_xdata(), row["difference"])


def test_an_end_without_a_bound_is_an_arrow_at_the_edge(tables):
    axes = draw(tables, difference_low=-np.inf)
    bar, arrow, _ = batch_lines(axes)
    left, _ = axes.get_xlim()
    assert np.isfinite(left)
    assert bar.get_xdata()[0] == left
    assert arrow.get_marker() == "<"
    assert arrow.get_xdata()[0] == left


def test_zero_is_always_in_sight(tables):
    left, right = draw(tables).get_xlim()
    assert left < 0 < right


def test_verdicts_are_words_in_their_colour_and_the_baseline_has_no_row(tables):
    words = {text.get_text(): text.get_color() for text in draw(tables).texts}
    assert words["better"] == LIGHT["better"]
    assert words["undecided"] == LIGHT["undecided"]
    assert "plain" not in words


def test_what_was_not_measured_has_a_name_and_no_mark(tables):
    nothing = dict.fromkeys(("difference", "difference_low", "difference_high"), np.nan)
    axes = draw(tables, **nothing, verdict=None)
    assert batch_lines(axes) == []
    assert "batch" in [text.get_text() for text in axes.texts]
