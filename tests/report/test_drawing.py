import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from normwise.report import drawing

positions = st.lists(st.floats(0, 1), min_size=1, max_size=8)


@settings(derandomize=True, deadline=None)
@given(positions)
def test_spread_keeps_gap_order_and_bounds(wanted):
    placed = drawing.spread(wanted, gap=0.1, low=0.0, high=1.0)
    assert placed.min() >= -1e-9
    assert placed.max() <= 1 + 1e-9
    assert (np.diff(np.sort(placed)) >= 0.1 - 1e-9).all()
    for one, at in zip(wanted, placed, strict=True):
        for other, there in zip(wanted, placed, strict=True):
            assert not (one < other and at > there)


def test_spread_moves_as_little_as_a_solver_would():
    random = np.random.default_rng(3)
    for _ in range(5):
        wanted = np.sort(random.uniform(0, 1, 5))
        placed = drawing.spread(wanted, gap=0.18, low=0.0, high=1.0)
        gaps = {"type": "ineq", "fun": lambda y: np.diff(y) - 0.18}
        best = minimize(
            lambda y, w=wanted: ((y - w) ** 2).sum(),
            np.linspace(0, 1, 5),
            bounds=[(0, 1)] * 5,
            constraints=gaps,
            method="SLSQP",
        )
        assert np.allclose(placed, best.x, atol=1e-3)


def test_spread_shrinks_the_gap_where_there_is_no_room():
    assert np.allclose(drawing.spread([0.5] * 5, gap=1.0, low=0.0, high=1.0), np.linspace(0, 1, 5))


def test_robust_limits_leave_out_a_diverging_run_but_no_steep_start():
    learning = 2.3 * np.exp(-np.linspace(0, 4, 100))
    assert drawing.robust_limits(learning) == (learning.min(), learning.max())
    diverging = np.concatenate([learning, [1e6, np.inf, np.nan, 1e300]])
    assert drawing.robust_limits(diverging) == (learning.min(), learning.max())
    assert drawing.robust_limits(np.array([np.nan, np.inf])) is None


def test_sizes_are_pixels():
    figure = drawing.sheet(480, 300)
    axes = drawing.box(figure, left=40, top=30, right=100, bottom=50)
    frame = axes.get_window_extent()
    assert np.allclose([frame.x0, frame.y0, frame.x1, frame.y1], [40, 50, 380, 270])


def test_ticks_of_few_and_of_many_powers():
    axes = drawing.box(drawing.sheet(400, 300), 50, 10, 10, 10)
    for limits, expected in (
        ((1, 100), {"1", "2", "5", "10", "20", "50", "100"}),
        ((1e-17, 10), {"1e−14", "1e−8", "1e−5", "10"}),
    ):
        axes.set_yscale("log")
        drawing.powers(axes.yaxis)
        axes.set_ylim(*limits)
        ticks = axes.yaxis.get_majorticklocs()
        assert expected <= set(axes.yaxis.get_major_formatter().format_ticks(ticks))
