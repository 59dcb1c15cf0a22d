from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import t

from normwise.report import drawing
from normwise.report.learning import draw_loss, draw_metric, mean_band, per_run


def mean_line(figure, index):
    (line,) = [
        line
        for line in figure.axes[0].lines
        if line.get_gid() == f"variant-{index}" and line.get_linewidth() == 2
    ]
    return line


def test_mean_band_is_the_t_interval_of_each_step():
    values = np.random.default_rng(0).normal(size=(6, 4))
    mean, low, high = mean_band(values)
    for step in range(4):
        sample = values[:, step]
        expected = t.interval(0.95, 5, sample.mean(), sample.std(ddof=1) / np.sqrt(6))
        assert mean[step] == pytest.approx(sample.mean())
        assert (low[step], high[step]) == pytest.approx(expected)


def test_mean_band_counts_only_what_is_finite():
    values = np.array([[1.0, np.inf, np.nan], [3.0, 5.0, np.nan], [np.nan, np.nan, np.nan]])
    mean, low, _ = mean_band(values)
    assert np.array_equal(mean, [2.0, 5.0, np.nan], equal_nan=True)
    assert np.isfinite(low).tolist() == [True, False, False]


def test_per_run_places_values_by_seed_and_step_in_any_order(tables):
    shuffled = replace(tables, curves=tables.curves.sample(frac=1, random_state=0))
    steps, values = per_run(shuffled, "batch", "val_acc")
    mine = tables.curves[tables.curves["variant"] == "batch"]
    expected = mine.sort_values(["seed", "step"])["val_acc"].to_numpy().reshape(10, -1)
    assert np.array_equal(values, expected)
    assert np.array_equal(steps, np.sort(mine["step"].unique()))


def test_the_line_drawn_is_the_mean_over_seeds(tables):
    with drawing.look():
        line = mean_line(draw_metric(tables), 1)
    mine = tables.curves[tables.curves["variant"] == "batch"]
    expected = mine.groupby("step")["val_acc"].mean()
    assert np.allclose(line.get_ydata(), expected)
    assert np.allclose(line.get_xdata(), expected.index)


def test_the_metric_is_framed_from_the_end_of_the_warm_up(tables):
    with drawing.look():
        low, high = draw_metric(tables).axes[0].get_ylim()
    late = tables.curves[tables.curves["step"] >= 0.2 * tables.budget]["val_acc"]
    assert low <= late.min() < low + 0.05
    assert high >= late.max()


def test_a_loss_over_decades_is_logarithmic_and_framed_without_the_diverging(tables):
    with drawing.look():
        axes = draw_loss(tables).axes[0]
        assert axes.get_yscale() == "log"
        curves = tables.curves.copy()
        curves.loc[(curves["seed"] == 0) & (curves["step"] > 900), "train_loss"] = 1e9
        assert draw_loss(replace(tables, curves=curves)).axes[0].get_ylim() == axes.get_ylim()


def test_a_variant_without_a_finite_end_is_marked(tables):
    curves = tables.curves.copy()
    curves.loc[(curves["variant"] == "layer") & (curves["step"] > 500), "train_loss"] = np.nan
    with drawing.look():
        figure = draw_loss(replace(tables, curves=curves))
    assert "layer ✕" in [text.get_text() for text in figure.texts]
    assert mean_line(figure, 2).get_xdata().max() <= 500
