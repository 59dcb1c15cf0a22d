"""`normwise watch`, as typed."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPT = """\
import argparse
import atexit
import os
import sys
import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--select", default="")
parser.add_argument("--crash", action="store_true")
arguments = parser.parse_args()
torch.manual_seed(0)
net = nn.Sequential(
    nn.Linear(6, 8),
    nn.BatchNorm1d(8),
    nn.ReLU(),
    nn.Linear(8, 3),
    nn.Softmax(1),
)
optimizer = torch.optim.SGD(net.parameters(), arguments.lr)
for step in range(12):
    x = torch.randn(64, 6)
    optimizer.zero_grad()
    nn.functional.cross_entropy(net(x), (x[:, 0] > 0).long()).backward()
    optimizer.step()
print(f"trained with {arguments.lr} {arguments.select}".strip())
os.system("echo from a child")
print("by the back door", file=sys.__stdout__)
atexit.register(print, "last words")
if arguments.crash:
    raise RuntimeError("too late")
"""
WATCH = "watch", "--every", "1", "--select", "LOS101,NRM101"


@pytest.fixture
def script(folder: Path) -> Path:
    path = folder / "train.py"
    path.write_text(SCRIPT)
    return path


def test_findings_are_grouped_the_worst_first_with_their_places(script, normwise: Callable):
    ended = normwise(*WATCH, "train.py", "--lr", "0.5", "--select", "mine")
    assert ended.code == 1
    lines = ended.out.splitlines()
    assert lines[0] == "trained with 0.5 mine"  # options behind the script are the script's
    assert lines[1] == "error LOS101 probabilities-into-cross-entropy"
    assert lines[2].startswith("  train.py:25: the inputs are probabilities")
    assert lines[3].startswith("    leave out the softmax in 4")
    assert lines[4] == "info NRM101 bias-before-batch-norm"
    assert lines[5].startswith("  0 (train.py:15): the norm behind this layer")
    assert lines[-1] == "2 findings; 0 rules found nothing"


def test_remarks_alone_are_no_failure(script, normwise: Callable):
    assert normwise("watch", "--every", "1", "--select", "NRM101", "train.py").code == 0


def test_a_crash_keeps_traceback_and_exit_code_and_is_judged(script, normwise: Callable):
    ended = normwise(*WATCH, "train.py", "--crash")
    assert ended.code == 1
    assert ended.err.splitlines()[-1] == "RuntimeError: too late"
    assert "error LOS101" in ended.out


def test_the_scripts_own_wrong_use_keeps_its_exit_code(script, normwise: Callable):
    ended = normwise(*WATCH, "train.py", "--lr", "big")
    assert ended.code == 2
    assert "argument --lr: invalid float value" in ended.err


def test_wrong_use_is_told_before_anything_runs(script, normwise: Callable):
    ended = normwise("watch", "--budget", "7", "--ignore", "LOS101@x", "trin.py")
    assert ended.code == 2
    assert ended.err.count("error:") == 3
    assert "did you mean 'train.py'" in ended.err
    assert ended.out == ""


def test_json_is_all_there_is_on_standard_output(script):
    command = [sys.executable, "-m", "normwise", *WATCH, "--format", "json", "train.py"]
    ended = subprocess.run(
        command, cwd=script.parent, capture_output=True, text=True, check=False, timeout=120
    )
    answer = json.loads(ended.stdout)
    assert ended.returncode == 1
    assert [found["code"] for found in answer["findings"]] == ["LOS101", "NRM101"]
    assert list(answer["findings"][0]) == [
        *("code", "name", "level", "where", "step", "value", "threshold", "message", "advice"),
        "confidence",
    ]
    assert answer["places"] == {"0": "train.py:15"}
    for text in ("trained with 0.1", "from a child", "by the back door", "last words"):
        assert text in ended.stderr


def test_sarif_page_and_baseline_at_once(script, normwise: Callable, folder: Path, monkeypatch):
    monkeypatch.setattr("atexit.register", lambda *_: None)
    ended = normwise(
        *WATCH, *("--format", "sarif", "--html", "page.html", "--write-baseline", "known.json"),
        "train.py",
    )  # fmt: skip
    [run] = json.loads(ended.out)["runs"]
    assert [result["ruleId"] for result in run["results"]] == ["LOS101", "NRM101"]
    page = (folder / "page.html").read_text("utf-8")
    assert "train.py:15" in page
    again = normwise(*WATCH, "--baseline", "known.json", "train.py")
    assert again.code == 0
    assert again.out.splitlines()[-1] == "0 findings; 0 rules found nothing"
