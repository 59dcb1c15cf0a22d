import html
import json
import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from torch import nn

import normwise as nw
from normwise.errors import UsageError


@pytest.fixture(scope="module")
def study(data, net) -> nw.Study:
    """A study of which one variant diverges."""
    return nw.compare(
        lambda: nn.Linear(6, 1),
        data("regression"),
        {"plain": "plain", "<b>&odd": "lr=1e6x"},
        seeds=2,
        epochs=8,
        batch_size=16,
        lr=0.02,
    )


def test_tables_are_copies(study: nw.Study):
    for table in (study.summary(), study.frame(), study.curves()):
        table["variant"] = "changed"
    for table in (study.summary(), study.frame(), study.curves()):
        assert table["variant"].unique().tolist() == ["plain", "<b>&odd"]


def test_a_notebook_shows_verdict_and_summary_with_names_escaped(study: nw.Study):
    shown = study._repr_html_()
    assert html.escape(study.verdict) in shown
    assert "<b>" not in shown
    assert "&lt;b&gt;&amp;odd" in shown
    estimate = study.summary()["estimate"][0]
    assert f"{estimate:.4g}" in shown
    assert "NaN" not in shown


def test_repr_is_the_verdict(study: nw.Study):
    assert repr(study) == f"<Study of plain, <b>&odd: {study.verdict}>"


def test_json_is_strict_and_holds_every_number(study: nw.Study):
    def refuse(constant: str):
        raise AssertionError(constant)

    told = json.loads(study.to_json(), parse_constant=refuse)
    assert list(told) == ["verdict", "notes", "target", "folder", "variants", "facts"]
    assert (told["verdict"], told["notes"]) == (study.verdict, study.notes)
    assert told["target"] == study.target
    assert told["folder"] is None
    for row, (_, wanted) in zip(told["variants"], study.summary().iterrows(), strict=True):
        assert list(row) == list(wanted.index)
        for name, value in row.items():
            if value is None:
                assert not math.isfinite(wanted[name])
            else:
                assert value == wanted[name]  # exactly
                assert type(value) in (int, float, str)
    assert told["variants"][1]["diverged"] == 2


def test_notes(study: nw.Study):
    notes = "\n".join(study.notes)
    assert "2 seeds cannot show a difference" in notes
    assert "2 runs diverged" in notes
    assert "No target was given" in notes
    assert "do not cover other data" in notes
    assert "finished" not in notes


def test_variants_that_a_constant_would_match_are_named(study: nw.Study):
    low, high = sorted(study.summary()["estimate"])
    names = study.summary().set_index("estimate")["variant"]

    def told(level: float | None, metric: str = "acc") -> list[str]:
        results = replace(study.results, constant=level, metric=metric)
        notes = replace(study, results=results).notes
        return [note for note in notes if "constant prediction" in note]

    [one] = told(np.nextafter(low, -math.inf))  # equal but for rounding
    assert one.startswith(f"{names[low]}: no better on the test split than a constant prediction")
    assert "(accuracy " in one
    assert told(low - 0.01) == told(None) == []
    [both] = told(high)
    assert both.startswith("plain, <b>&odd: ")
    [r2] = told(high, "r2")
    assert r2.endswith("targets far from 0 need to be standardised, or a smaller learning rate.")


def test_an_unfinished_study_says_so(study: nw.Study):
    part = replace(study, results=replace(study.results, records=study.results.records[:3]))
    assert part.notes[0] == (
        "1 of the study's 4 runs has not finished, so this is not the last word."
    )
    assert "over 1 seed" in part.verdict
    assert "1 run diverged (" in "\n".join(part.notes)


def test_no_runs_no_report(study: nw.Study, tmp_path: Path):
    empty = replace(study, results=replace(study.results, records=[]))
    with pytest.raises(UsageError, match="no run of this study has finished"):
        empty.to_html(tmp_path / "report.html")
    assert not list(tmp_path.iterdir())


def test_save_writes_everything(study: nw.Study, tmp_path: Path):
    folder = tmp_path / "new" / "folder"
    assert study.save(folder) == folder / "report.html"
    assert {path.name for path in folder.iterdir()} == {
        *("report.html", "runs.csv", "curves.csv", "summary.csv", "study.json", "figures"),
    }
    pd.testing.assert_frame_equal(
        pd.read_csv(folder / "summary.csv"), study.summary(), check_dtype=False, check_exact=True
    )
    kinds = {path.suffix for path in (folder / "figures").iterdir()}
    assert kinds == {".svg", ".png"}
    page = (folder / "report.html").read_text("utf-8")
    assert study.verdict in html.unescape(page)
    assert "<b>&odd" not in page
    manifest = json.loads((folder / "study.json").read_text())
    assert manifest == {"asked": dict(study.facts)}


def test_a_saved_study_is_not_resumed_as_if_it_were_one(study: nw.Study, tmp_path, undrawn, data):
    study.save(tmp_path)
    with pytest.raises(UsageError, match="holds another study"):
        nw.compare(
            lambda: nn.Linear(6, 1),
            data("regression"),
            "plain",
            seeds=1,
            out=tmp_path,
            resume=True,
        )


def test_to_html_writes_one_page(study: nw.Study, tmp_path: Path):
    path = study.to_html(os.fspath(tmp_path / "page.html"))
    assert path == tmp_path / "page.html"
    assert path.read_text("utf-8").startswith("<!doctype html>")
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(UsageError, match="cannot write"):
        study.to_html(path / "below.html")
