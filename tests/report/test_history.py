import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from normwise.errors import UsageError
from normwise.report import HistoryTables, history_charts, history_page
from normwise.report.history import headings


def make_curves(count: int) -> pd.DataFrame:
    epochs = np.arange(count, dtype=float)
    return pd.DataFrame(
        {
            "step": np.arange(count) * 17,
            "epoch": epochs,
            "lr": 0.1 * 0.9**epochs,
            "train_loss": [np.nan, *(0.25 + 1 / epochs[1:])],
            "val_loss": 0.5 + 0.01 * (epochs - 3) ** 2,
            "val_acc": 1 - 0.9 / (1 + epochs),
        }
    )


TABLES = HistoryTables(
    title="digits: network",
    verdict="Validation accuracy 0.775 at epoch 3.",
    notes=["Ctrl-C ended the training after step 102."],
    facts={"data": "digits", "seed": "0"},
    metric="accuracy",
    curves=make_curves(7),
    best=51,
)


class Table(HTMLParser):
    """The table's rows as texts, and which of them is bold."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.bold: list[int] = []
        self.cell = False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            if ("class", "best") in attrs:
                self.bold.append(len(self.rows))
            self.rows.append([])
        self.cell = tag in ("td", "th")
        if self.cell:
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        self.cell = False

    def handle_data(self, data):
        if self.cell:
            self.rows[-1][-1] += data


def number(cell: str) -> float:
    return float(cell.replace("\u202f", "").replace("−", "-") or "nan")


def test_the_page_shows_every_evaluation():
    table = Table(history_page(TABLES))
    assert table.rows[0] == [
        "step",
        "epoch",
        "learning rate",
        "training loss",
        "validation loss",
        "validation accuracy",
    ]
    shown = np.array([[number(cell) for cell in row] for row in table.rows[1:]])
    np.testing.assert_allclose(shown, TABLES.curves.to_numpy(float), rtol=5e-3)
    np.testing.assert_allclose(shown[:, 5], TABLES.curves["val_acc"], atol=5e-5)
    assert table.bold == [4]


def test_a_long_history_is_thinned_but_keeps_first_best_and_last():
    tables = replace(TABLES, curves=make_curves(500), best=51)
    page = history_page(tables)
    table = Table(page)
    steps = [number(row[0]) for row in table.rows[1:]]
    assert (steps[0], steps[-1], len(steps)) == (0, 499 * 17, 61)
    assert [number(table.rows[row][0]) for row in table.bold] == [51]
    assert "439 rows between are left out; history.csv has all." in page


def test_verdict_notes_and_facts():
    page = history_page(TABLES)
    assert page.index(TABLES.verdict) < page.index(TABLES.notes[0]) < page.index('id="curves"')
    assert "<dt>seed</dt><dd>0</dd>" in page


def test_charts_follow_what_was_measured():
    def titles(**changes: float) -> list[str]:
        curves = TABLES.curves.assign(**changes)
        return [chart.title for chart in history_charts(replace(TABLES, curves=curves))]

    assert titles() == ["Loss", "Accuracy", "Learning rate"]
    assert titles(lr=0.1) == ["Loss", "Accuracy"]
    assert titles(lr=0.1, val_acc=np.nan, val_loss=np.nan) == ["Loss"]
    heads = replace(TABLES, curves=TABLES.curves.assign(val_digit_acc=0.5))
    assert set(history_charts(heads)[1].table["series"]) == {"accuracy", "digit accuracy"}
    assert headings(heads)[-1] == "validation digit accuracy"


def test_the_curves_are_the_frame():
    loss = history_charts(TABLES)[0].table
    for name, column in (("training", "train_loss"), ("validation", "val_loss")):
        drawn = loss[loss["series"] == name]
        np.testing.assert_array_equal(drawn["x"], TABLES.curves["epoch"])
        np.testing.assert_array_equal(drawn["y"], TABLES.curves[column])


def test_without_a_validation_split_nothing_is_said_of_the_lowest_loss():
    curves = TABLES.curves.assign(val_loss=np.nan, val_acc=np.nan)
    page = history_page(replace(TABLES, curves=curves, best=102))
    assert "lowest" not in page
    body = re.sub(r"<(script|style)>.*?</\1>", "", page, flags=re.S)
    assert not re.search(r"\b(nan|inf|None|Undefined)\b", body)


def test_names_are_escaped_everywhere():
    evil = "<script>alert(1)</script>&\"'"
    page = history_page(
        HistoryTables(
            *(evil, evil, [evil], {evil: evil}, evil),
            TABLES.curves.rename(columns={"val_acc": f"val_{evil}"}),
            51,
        )
    )
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 6


def test_the_page_needs_nothing_else_and_is_the_same_each_time():
    page = history_page(TABLES)
    assert not re.findall(r"(?:src|href)=\"(?!#|data:)", page)
    assert "http" not in page.replace("http://www.w3.org", "")
    assert page == history_page(TABLES)
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_a_missing_column_is_said():
    with pytest.raises(UsageError, match="the curves lack the columns lr"):
        replace(TABLES, curves=TABLES.curves.drop(columns="lr"))
