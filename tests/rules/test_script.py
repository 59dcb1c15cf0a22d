"""Scripts run as Python would run them, and judged however they end."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from normwise.errors import UsageError
from normwise.rules import Outcome, run_script, write_baseline

SCRIPT = """\
import sys
import torch
import helper
from torch import nn

assert __name__ == "__main__" and sys.modules["__main__"].__dict__ is globals()
assert sys.argv[0] == __file__ == helper.FOLDER + "/train.py"
assert sys.path[0] == helper.FOLDER
torch.manual_seed(0)
net = nn.Sequential(
    nn.Linear(4, 8),
    nn.ReLU(),
    nn.Linear(8, 3),
    nn.Softmax(1),
)
optimizer = torch.optim.Adam(net.parameters(), 0.01)
for _ in range(12):
    x = torch.randn(64, 4)
    optimizer.zero_grad()
    nn.functional.cross_entropy(net(x), (x[:, 0] > 0).long()).backward()
    optimizer.step()
end = sys.argv[1]
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Return a function that runs the script with a last line of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "helper", raising=False)
    (tmp_path / "helper.py").write_text("from pathlib import Path\nFOLDER = str(Path.cwd())\n")

    def outcome(last: str = "", **options: object) -> Outcome:
        (tmp_path / "train.py").write_text(SCRIPT + last)
        return run_script("train.py", ["--end"], every=1, select="LOS101,GRD103", **options)  # type: ignore[arg-type]

    return outcome


@pytest.mark.parametrize(
    ("last", "code", "printed"),
    [
        ("assert end == '--end'", 0, ""),
        ("sys.exit()", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("sys.exit('no luck')", 1, "no luck\n"),
        ("raise KeyboardInterrupt", 130, ""),
    ],
)
def test_however_it_ends_it_is_judged_and_keeps_its_exit_code(run, capsys, last, code, printed):
    outcome = run(last)
    assert outcome.code == code
    assert [(f.code, f.where) for f in outcome.findings] == [("LOS101", "train.py:20")]
    assert outcome.findings.clean == ["GRD103"]
    assert outcome.trainings[0].evidence.steps == 12
    assert capsys.readouterr().err == printed


def test_a_crash_shows_the_scripts_own_traceback(run, capsys, tmp_path):
    outcome = run("def fall():\n    1 / 0\n\nfall()\n")
    assert outcome.code == 1
    assert [f.code for f in outcome.findings] == ["LOS101"]
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1].startswith(f'  File "{tmp_path / "train.py"}", line 26, in <module>')
    assert lines[-1] == "ZeroDivisionError: division by zero"
    assert not any("runpy" in line or "normwise" in line for line in lines[1:])


def test_a_script_that_does_not_parse_ends_as_with_python(run, capsys, tmp_path):
    (tmp_path / "bad.py").write_text("net = (\n")
    outcome = run_script("bad.py")
    assert (outcome.code, list(outcome.findings)) == (1, [])
    assert "SyntaxError" in capsys.readouterr().err
    assert outcome.findings.notes[0].startswith("no network was trained")


def test_nothing_of_the_run_stays_behind(run):
    before = sys.argv, sys.path.copy(), sys.modules["__main__"]
    run("sys.path.append('nowhere')")
    assert (sys.argv, sys.path, sys.modules["__main__"]) == before


def test_mistakes_come_together_and_before_anything_runs(run, tmp_path):
    (tmp_path / "train.py").write_text("raise SystemExit('ran')")
    with pytest.raises(UsageError) as caught:
        run_script("trian.py", budget=0, every=0, select="XYZ")
    assert len(caught.value.problems) == 4
    assert "did you mean 'train.py'" in caught.value.problems[0]


def test_ignores_and_baselines_hold_over_all_trainings(run, tmp_path):
    ignored = run(ignore=["LOS101@train.py:*: meant so", "GRD103@4.*: frozen"])
    assert list(ignored.findings) == []
    assert ignored.findings.notes == ("nothing matches the ignored GRD103@4.* any more: remove it",)
    write_baseline(run().findings, "known.json")
    assert list(run(baseline="known.json").findings) == []


def test_the_module_of_a_finding_has_a_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("norm.py").write_text(
        "import torch\n"
        "from torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.first = nn.Linear(4, 8)\n"
        "        self.norm = nn.BatchNorm1d(8)\n"
        "    def forward(self, x):\n"
        "        return self.norm(self.first(x)).mean()\n"
        "Net()(torch.randn(9, 4)).backward()\n"
    )
    findings = run_script("norm.py", select="NRM101").findings
    assert findings.places == {"first": "norm.py:6"}
    assert findings.place(findings[0]) == "norm.py:6"


def test_few_measured_steps_are_admitted(run, tmp_path, monkeypatch):
    monkeypatch.setattr("normwise.evidence.schedule.ALLOWANCE", 0.0)
    (tmp_path / "long.py").write_text(
        SCRIPT.replace("range(12)", "range(400)").replace("/train.py", "/long.py")
    )
    findings = run_script("long.py", ["--end"], select="LOS101", budget=1e-9).findings
    assert "of 400 steps were measured, to keep to the budget" in findings.notes[0]
