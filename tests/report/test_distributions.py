from dataclasses import replace

import numpy as np
import pytest

from normwise.report import drawing
from normwise.report.distributions import Hill, common_limits, draw_layer, layer_title


def normal_hill(mean, std):
    edges = np.linspace(mean - 5 * std, mean + 5 * std, 201)
    middles = (edges[:-1] + edges[1:]) / 2
    density = np.exp(-0.5 * ((middles - mean) / std) ** 2)
    return Hill.of(np.stack([edges[:-1], edges[1:], density], axis=1))


def texts(tables, layer="1"):
    with drawing.look():
        figure = draw_layer(tables, layer)
    return [[text.get_text() for text in axes.texts] for axes in figure.axes]


def test_quantiles_are_those_of_the_distribution():
    quantiles = normal_hill(1.0, 2.0).quantiles([0.025, 0.5, 0.975])
    assert quantiles == pytest.approx([1 - 3.92, 1.0, 1 + 3.92], abs=0.02)


def test_weights_sum_to_one_whatever_the_order_and_gaps_of_the_bins():
    bins = np.array([[1.0, 3.0, 0.25], [np.nan, 1.0, 5.0], [0.0, 1.0, 0.5]])
    hill = Hill.of(bins)
    assert hill.left.tolist() == [0.0, 1.0]
    assert hill.weight.tolist() == [0.5, 0.5]
    assert Hill.of(np.array([[0.0, 1.0, np.nan]])) is None


def test_limits_show_all_hills_of_like_width():
    low, high = common_limits([normal_hill(0, 1), normal_hill(0.5, 1.5), normal_hill(0, 0.3)])
    assert low == pytest.approx(0.5 - 2.576 * 1.5, abs=0.05)
    assert high == pytest.approx(0.5 + 2.576 * 1.5, abs=0.05)


@pytest.mark.parametrize("far", [normal_hill(0, 1000), normal_hill(-4000, 1), normal_hill(50, 9)])
def test_one_exploding_hill_does_not_flatten_the_others(far):
    hills = [normal_hill(0, 1)] * 3 + [normal_hill(0, 2)]
    assert common_limits([*hills, far]) == common_limits(hills)


def test_cells_say_spread_and_the_dead(tables):
    plain, batch, *_ = texts(tables)
    assert plain[0] == "plain"
    assert "step 0" in plain
    assert "σ 2.80" in plain
    assert "16\u202f% dead" in plain
    assert "σ 1.20" in batch
    assert not any("dead" in text for text in batch)


def test_what_lies_beyond_the_axis_is_counted(tables):
    wide = tables.histograms.copy()
    cell = (wide["variant"] == "plain") & (wide["step"] == 1140) & (wide["layer"] == "1")
    wide.loc[cell, ["left", "right"]] += 1000.0
    plain = texts(replace(tables, histograms=wide))[0]
    assert "100\u202f% ›" in plain


def test_the_same_cell_is_the_same_height_in_every_row(tables):
    with drawing.look():
        axes = draw_layer(tables, "1").axes[0]
    crests = [line for line in axes.lines if line.get_gid() == "variant-0"]
    assert len(crests) == 5
    for row, crest in enumerate(crests):
        assert np.max(crest.get_ydata()) == pytest.approx(0.86 - row)


def test_a_cell_without_mass_says_so(tables):
    gone = tables.histograms.copy()
    gone.loc[(gone["variant"] == "batch") & (gone["step"] == 570), "density"] = np.nan
    batch = texts(replace(tables, histograms=gone))[1]
    assert batch.count("not measured") == 1


def test_titles_name_the_activation_where_known(tables):
    assert layer_title(tables, "1") == "Layer 1, before ReLU"
    assert layer_title(replace(tables, layers=tables.layers.iloc[:0]), "1") == "Layer 1"
