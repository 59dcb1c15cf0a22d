"""`normwise check`, `rules` and `explain`, as typed."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from normwise.rules import all_rules

FAULTY = """
from torch import nn

def soft():
    print("building")
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3), nn.Softmax(1))
"""


@pytest.fixture
def faulty(folder: Path) -> None:
    (folder / "faulty.py").write_text(FAULTY)


def test_findings_and_exit_code(faulty, normwise: Callable):
    ended = normwise("check", "faulty.py:soft", "--data", "data.npz", "--select", "LOS101")
    assert ended.code == 1
    assert "error LOS101 probabilities-into-cross-entropy\n  the network: the inputs" in ended.out
    assert "leave out the softmax in 3" in ended.out
    assert "1 finding; 0 rules found nothing" in ended.out
    assert "building" in ended.err


def test_nothing_found(normwise: Callable):
    ended = normwise("check", "nets.py:small", "--data", "data.npz", "--select", "LOS101,NRM101")
    assert (ended.code, ended.out) == (0, "0 findings; 2 rules found nothing\n")


def test_json_is_all_there_is_on_standard_output(faulty, normwise: Callable):
    ended = normwise("check", "faulty.py:soft", "--data", "data.npz", "--format", "json")
    answer = json.loads(ended.out)
    [finding] = [f for f in answer["findings"] if f["code"] == "LOS101"]
    assert set(finding) == {
        *("code", "name", "level", "where", "step", "value", "threshold", "message", "advice"),
        "confidence",
    }
    assert "NRM101" in answer["clean"]


def test_baseline_hides_what_is_known(faulty, normwise: Callable, folder: Path):
    arguments = "check", "faulty.py:soft", "--data", "data.npz", "--select", "LOS101"
    assert normwise(*arguments, "--write-baseline", "known.json").code == 1
    again = normwise(*arguments, "--baseline", "known.json")
    assert (again.code, again.out.splitlines()[0]) == (0, "0 findings; 0 rules found nothing")


def test_mistakes_come_together(normwise: Callable):
    ended = normwise("check", "nets.py:smal", "--data", "no.npz", "--optimizer", "adm", "--lr", "0")
    assert ended.code == 2
    assert ended.err.count("error:") == 4
    assert "did you mean 'small'" in ended.err
    assert normwise("check", "nets.py:small", "--ignore", "XYZ").code == 2


def test_rules_are_listed_and_explained(normwise: Callable):
    listed = normwise("rules").out.splitlines()
    assert [line.split()[0] for line in listed] == list(all_rules())
    rows = json.loads(normwise("rules", "--format", "json").out)
    assert [row["code"] for row in rows] == list(all_rules())
    page = normwise("explain", "nrm101").out
    assert page.startswith("# NRM101: bias-before-batch-norm\n")
    assert "## Why it is bad" in page
    unknown = normwise("explain", "NRM100")
    assert unknown.code == 2
    assert "did you mean 'NRM10" in unknown.err
