import numpy as np
import pandas as pd
import pytest

from normwise.errors import UsageError
from normwise.report import Lines
from normwise.report.drawing import look
from normwise.report.palette import LIGHT

TABLE = pd.DataFrame(
    {
        "series": ["plain"] * 12 + ["batch"] * 12,
        "x": [*range(12)] * 2,
        "y": [*np.linspace(3, 2, 12), *np.linspace(3, 1, 12)],
    }
)


def drawn(chart: Lines):
    with look():
        return chart.draw()


def texts(figure) -> list[str]:
    return [text.get_text() for text in figure.texts]


def curves(axes) -> dict[str, np.ndarray]:
    """Return the drawn lines by colour."""
    return {line.get_color(): line.get_xydata() for line in axes.lines if line.get_gid()}


def test_curves_are_the_table_and_are_named_where_they_end():
    figure = drawn(Lines("Loss", "It falls.", "step", "loss (nats)", TABLE, baseline="plain"))
    [axes] = figure.axes
    lines = curves(axes)
    assert list(lines) == [LIGHT["v0"], LIGHT["v1"]]
    np.testing.assert_array_equal(lines[LIGHT["v1"]], TABLE[["x", "y"]][12:])
    assert {"plain", "batch", "Loss"} <= set(texts(figure))
    assert axes.get_xlabel() == "step"
    assert "loss (nats)" in [text.get_text() for text in axes.texts]


def test_bands_reach_from_low_to_high():
    table = TABLE.assign(low=TABLE["y"] - 0.5, high=TABLE["y"] + 0.25)
    [axes] = drawn(Lines("Loss", "", "step", "loss", table)).axes
    corners = axes.collections[0].get_paths()[0].vertices
    assert corners[:, 1].min() == pytest.approx(1.5)
    assert corners[:, 1].max() == pytest.approx(3.25)


def test_panels_share_the_axes_and_only_the_first_is_labelled():
    table = pd.concat(
        [TABLE.assign(panel="depth 5"), TABLE.assign(panel="depth 20", y=TABLE.y * 2)]
    )
    axes = drawn(Lines("Loss", "", "step", "loss", table)).axes
    assert [each.get_title(loc="left") for each in axes] == ["depth 5", "depth 20"]
    assert axes[0].get_ylim() == axes[1].get_ylim()
    assert axes[0].get_position().x1 < axes[1].get_position().x0
    np.testing.assert_array_equal(
        [each.yaxis.get_tick_params()["labelleft"] for each in axes], [True, False]
    )


def test_a_level_and_points_are_within_the_frame():
    points = pd.DataFrame({"x": [2.0, 3.0], "y": [-4.0, 0.0]})
    chart = Lines("Fit", "", "x", "y", TABLE, level=9.0, level_label="the best", points=points)
    [axes] = drawn(chart).axes
    low, high = axes.get_ylim()
    assert low < -4 < 9 < high
    assert "the best" in [text.get_text() for text in axes.texts]


def test_logarithmic_axes_leave_zero_out():
    table = TABLE.assign(x=TABLE["x"] + 1, y=TABLE["y"].where(TABLE["x"] != 3, 0.0))
    [axes] = drawn(Lines("Loss", "", "step", "loss", table, log="xy")).axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert 0 < axes.get_ylim()[0] < 1


def test_a_series_that_is_not_finite_is_no_end():
    table = TABLE.assign(y=TABLE["y"].where(TABLE["series"] == "plain"))
    assert "batch" not in texts(drawn(Lines("Loss", "", "step", "loss", table)))


def test_a_table_that_cannot_be_drawn_is_refused():
    with pytest.raises(UsageError, match="lacks series"):
        Lines("Loss", "", "step", "loss", TABLE.drop(columns="series"))
    with pytest.raises(UsageError, match="no rows"):
        Lines("Loss", "", "step", "loss", TABLE[:0])


def test_the_frame_holds_the_bands():
    table = TABLE.assign(low=-5.0, high=9.0)
    low, high = drawn(Lines("Loss", "", "step", "loss", table)).axes[0].get_ylim()
    assert low < -5 < 9 < high
