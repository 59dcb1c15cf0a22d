import io
import math
import re

import pytest

from normwise.stack import Evaluation, Outcome
from normwise.study.progress import Bar, Quiet, showing
from normwise.study.record import Record


def record(variant: str, score: float, steps: int = 100) -> Record:
    return Record(variant, 0, Outcome("done", steps, [Evaluation(steps, 0.1, 0.1, score)]))


def shown(monkeypatch: pytest.MonkeyPatch, width: int = 120) -> str:
    """Finish three runs of 100 steps, the second of which diverged; return all that was shown."""
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TTY_COMPATIBLE", "1")  # rich then takes the stream for a terminal
    with showing(True, runs=3, steps=100) as bar:
        assert isinstance(bar, Bar)
        bar.advanced("plain, seed 0", 50)
        bar._bar.refresh()
        bar.advanced("plain, seed 0", 50)
        bar.finished(record("plain", 0.5))
        bar.advanced("[red]odd[/], seed 4", 100)
        bar.finished(record("[red]odd[/]", math.nan, 10))
        bar._bar.refresh()
        bar.advanced("batch, seed 0", 100)
        bar.finished(record("batch", 0.8125))
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())


def test_it_tells_runs_steps_and_leader(monkeypatch: pytest.MonkeyPatch):
    text = shown(monkeypatch)
    for part in ("0/3 runs", "50/300 steps", "plain, seed 0"):
        assert part in text
    for part in ("2/3 runs", "200/300 steps", "best 0.500: plain"):
        assert part in text
    for part in ("3/3 runs", "300/300 steps", "best 0.812: batch"):
        assert part in text


def test_names_are_shown_as_they_are(monkeypatch: pytest.MonkeyPatch):
    assert "[red]odd[/], seed 4" in shown(monkeypatch)


@pytest.mark.parametrize("width", [60, 80])
def test_it_stays_on_one_line(monkeypatch: pytest.MonkeyPatch, width: int):
    lines = shown(monkeypatch, width).replace("\r", "\n").split("\n")
    assert max(map(len, lines)) <= width
    assert all(line.count("steps") <= 1 for line in lines)
    assert not any(line.strip() and "run" not in line for line in lines)


def test_it_is_quiet_where_nobody_looks(capsys: pytest.CaptureFixture[str]):
    for wanted, runs in ((None, 3), (False, 3), (True, 0)):
        with showing(wanted, runs, 100) as bar:
            assert isinstance(bar, Quiet)
            bar.advanced("plain, seed 0", 3)
            bar.finished(record("plain", 0.5))
    assert capsys.readouterr() == ("", "")
