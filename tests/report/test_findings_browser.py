"""The page of findings in a real browser."""

import pandas as pd
import pytest

from normwise.report import FindingsTables, TrainingTables, findings_page
from normwise.report.inside import MOST

ROWS = [
    {
        "level": level,
        "code": f"ACT10{number}",
        "name": "dead-units",
        "where": "encoder.layers.11.intermediate.dense.activation_function" * number,
        "place": "networks/encoder.py:17",
        "step": float("nan") if number == 1 else 12000.0,
        "message": "90 % of 512 units gave 0 for all of the last 4096 values",
        "advice": "lower the learning rate",
    }
    for number, level in enumerate(("error", "warning", "info"), start=1)
]


def make_training(layers: int) -> TrainingTables:
    names = [f"encoder.layers.{place}.dense" for place in range(layers)]
    far = [*[1.0] * (layers - 1), 1e6]
    return TrainingTables(
        "Inside the network",
        pd.DataFrame({"step": range(50), "value": [2.0 / (1 + step) ** 2 for step in range(50)]}),
        pd.DataFrame(
            {"layer": names, "type": "Linear", "std": far, "dead": 0.9, "saturated": float("nan")}
        ),
        pd.DataFrame(
            [
                {"layer": name, "left": k * size, "right": (k + 1) * size, "density": 0.25 / size}
                for name, size in zip(names, far, strict=True)
                for k in range(-2, 2)
            ]
        ),
        pd.DataFrame(
            {
                "parameter": names,
                "gradient": [10.0**-place for place in range(layers)],
                "lowest": 0.0,
                "highest": 1.0,
                "ratio": 1e-3,
            }
        ),
    )


@pytest.fixture(scope="module")
def page() -> str:
    tables = FindingsTables(
        "train.py --lr 0.1",
        "1 error, 1 warning, 1 remark. First of all: 90 % of 512 units gave 0.",
        ["2 of 400 steps were measured"],
        {"optimizer steps": "400"},
        pd.DataFrame(ROWS),
        [make_training(3), make_training(MOST + 20)],
    )
    return findings_page(tables)


def test_the_same_tables_give_the_same_page_with_unique_ids(page):
    ids = [part.partition('"')[0] for part in page.split(' id="')[1:]]
    assert len(ids) == len(set(ids))
    assert "http" not in page.replace("http://www.w3.org", "")


@pytest.mark.parametrize("width", [1280, 400])
def test_every_figure_shows_and_the_page_never_scrolls_sideways(visit, width):
    tab = visit(width)
    figures = tab.locator("figure.plot")
    assert figures.count() == 6
    for place in range(6):
        assert figures.nth(place).locator("svg").bounding_box()["width"] > 300
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_contrast(visit, scheme, lowest_contrast):
    contrast, where = visit(scheme=scheme).evaluate(lowest_contrast)
    assert contrast >= 4.5, where


def test_findings_stand_in_order_with_step_and_place(visit):
    tab = visit(script=False)
    items = tab.locator(".findings li")
    assert [text.split()[0] for text in items.all_inner_texts()] == ["error", "warning", "info"]
    assert "from step" not in items.nth(0).inner_text()
    assert "from step 12" in items.nth(1).inner_text()
    assert "made in networks/encoder.py:17" in items.nth(2).inner_text()


def test_rows_of_large_networks_are_chosen_and_far_ones_marked(visit):
    tab = visit()
    rows = tab.locator("#outputs-2 text").all_text_contents()
    assert sum("Linear" in text for text in rows) == MOST
    assert any("›" in text for text in tab.locator("#outputs-1 text").all_text_contents())
    assert any("dead" in text for text in rows)
