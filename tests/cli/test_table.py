import math
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from normwise.cli.table import show
from normwise.report.wording import (
    brief,
    interval,
    number,
    places_for,
    pvalue,
    seconds,
    share,
    signed,
    whole,
)
from normwise.stack import Evaluation, Outcome
from normwise.study import Study
from normwise.study.record import Record
from normwise.study.results import Results

GAINS = {"plain": 0.0, "batch": 0.05, "batch+dropout=0.2+lr=5x": 0.04, "[red]odd[/]": -0.3}


def run(variant: str, seed: int) -> Record:
    score = 0.9 + GAINS[variant] + ((seed * 7 + len(variant)) % 5 - 2) / 200
    arrived = 200 if variant == "plain" else 1200
    rows = [Evaluation(0, math.nan, 2.3, 0.1), Evaluation(arrived, 0.4, 0.5, score)]
    rows.append(Evaluation(2000, 0.3 - GAINS[variant], 0.5, score))
    return Record(variant, seed, Outcome("done", 2000, rows, 0.5, score, 12.3))


@pytest.fixture(scope="module")
def study() -> Study:
    records = [run(variant, seed) for variant in GAINS for seed in range(8)]
    lost = Outcome("diverged", 10, [Evaluation(0, math.nan, 2.3, 0.1)])
    records[-1] = Record("[red]odd[/]", 7, lost)
    results = Results(records, list(GAINS), list(range(8)), "acc", 0.9, None, 2000, 100)
    return Study(results, {"data": "digits"}, plan=pd.DataFrame(), folder=Path("runs/[1]"))


def shown(study: Study, capsys, monkeypatch, columns: int | None) -> str:
    if columns is None:
        monkeypatch.delenv("COLUMNS", raising=False)
    else:
        monkeypatch.setenv("COLUMNS", str(columns))
    show(study)
    out, err = capsys.readouterr()
    assert err == ""
    return out


def cells(line: str) -> list[str]:
    return re.split(r"\s{2,}", line.strip())


def test_a_wide_table_tells_the_whole_summary(study: Study, capsys, monkeypatch):
    lines = shown(study, capsys, monkeypatch, 160).splitlines()
    assert lines[0].split() == ["test", "train", "steps", "to"]
    assert cells(lines[1]) == [
        *("variant", "accuracy", "interval", "difference", "interval", "p", "verdict"),
        *("loss", "lower", "0.9", "reached", "seconds"),
    ]
    summary = study.summary()
    places = places_for((summary["high"] - summary["low"]) / 2)
    for line, row in zip(lines[2:6], summary.to_dict("records"), strict=True):
        name = row["variant"] + (" (1 diverged)" if row["diverged"] else "")
        difference = [
            signed(row["difference"], places),
            interval(row["difference_low"], row["difference_high"], places, sign=True),
            pvalue(row["p"]),
        ]
        baseline = row["verdict"] == "baseline"
        assert cells(line) == [
            name,
            number(row["estimate"], places),
            interval(row["low"], row["high"], places),
            *([] if baseline else difference),
            row["verdict"],
            brief(row["train_loss"]),
            *([] if baseline else [f"in {row['train_loss_wins']}/8"]),
            whole(row["steps_to_target"]),
            share(row["success"]),
            seconds(row["seconds"]),
        ]


@pytest.mark.parametrize(
    ("columns", "kept"),
    [
        (132, "variant accuracy interval difference interval p verdict loss 0.9 reached"),
        (110, "variant accuracy interval difference p verdict 0.9 reached"),
        (80, "variant accuracy difference p verdict 0.9"),
        (72, "variant accuracy difference p verdict"),
    ],
)
def test_a_narrow_terminal_drops_columns_and_wraps_nothing(
    study: Study, capsys, monkeypatch, columns: int, kept: str
):
    out = shown(study, capsys, monkeypatch, columns)
    lines = out.splitlines()
    assert lines[1].split() == kept.split()
    assert [cells(line)[0] for line in lines[2:6]][:3] == list(GAINS)[:3]
    assert lines[6] == ""
    assert max(map(len, lines)) <= columns


def test_without_a_terminal_there_are_132_columns(study: Study, capsys, monkeypatch):
    assert shown(study, capsys, monkeypatch, None) == shown(study, capsys, monkeypatch, 132)


def test_names_longer_than_the_terminal_are_folded_not_cut(study: Study, capsys, monkeypatch):
    out = shown(study, capsys, monkeypatch, 44)
    table = out.split("\n\n")[0].splitlines()
    column = "".join(line[:8].strip() for line in table[2:])
    for name in GAINS:
        assert name in column.replace(" ", "")
    assert max(map(len, table)) <= 44


def test_names_are_shown_as_they_are(study: Study, capsys, monkeypatch):
    out = shown(study, capsys, monkeypatch, None)
    assert "[red]odd[/] (1 diverged)" in out
    assert "Worse: [red]odd[/]." in out
    assert out.endswith("report: runs/[1]/report.html\n")


def test_verdict_and_notes_follow_the_table(study: Study, capsys, monkeypatch):
    out = " ".join(shown(study, capsys, monkeypatch, 80).split())
    assert study.verdict in out
    for note in study.notes:
        assert f"note: {note}" in out


def test_a_study_in_memory_names_no_report_and_no_target(study: Study, capsys, monkeypatch):
    memory = replace(study, folder=None, results=replace(study.results, target=None))
    out = shown(memory, capsys, monkeypatch, 132)
    assert "report:" not in out
    assert out.splitlines()[1].split()[-2:] == ["target", "reached"]
