import numpy as np

from normwise.report import drawing
from normwise.report.arrivals import draw_arrivals


def test_curves_start_at_nobody_and_last_to_the_budget(tables):
    with drawing.look():
        axes = draw_arrivals(tables).axes[0]
    (line,) = [line for line in axes.lines if line.get_gid() == "variant-0"]
    mine = tables.reached[tables.reached["variant"] == "plain"]
    assert line.get_drawstyle() == "steps-post"
    assert np.allclose(line.get_xdata(), [0, *mine["step"], tables.budget])
    assert np.allclose(line.get_ydata(), [0, *mine["share"], 0.4])


def test_the_band_is_the_interval_from_the_first_arrival_on(tables):
    with drawing.look():
        axes = draw_arrivals(tables).axes[0]
    (band,) = [each for each in axes.collections if each.get_gid() == "variant-0"]
    corners = band.get_paths()[0].vertices
    mine = tables.reached[tables.reached["variant"] == "plain"]
    assert corners[:, 0].min() == mine["step"].min()
    assert {*mine["low"], *mine["high"]} <= set(corners[:, 1])


def test_every_variant_is_named(tables):
    with drawing.look():
        figure = draw_arrivals(tables)
    assert set(tables.variants) <= {text.get_text() for text in figure.texts}
