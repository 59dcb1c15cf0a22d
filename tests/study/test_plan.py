"""A study on disk: what it writes, how it goes on, and what it refuses to mix."""

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import normwise as nw
from normwise.cli import main
from normwise.data import Data
from normwise.errors import UsageError

TABLES = ("runs.csv", "curves.csv")
pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def study(data: Callable[..., Data], net, tmp_path: Path) -> Callable[..., nw.Study]:
    """Return a function that compares in `tmp_path/out`; settings may be changed."""

    def run(variants="plain,batch", **settings) -> nw.Study:
        defaults = {
            "model": net,
            "data": data("classes"),
            "seeds": 3,
            "epochs": 2,
            "batch_size": 16,
            "out": tmp_path / "out",
            "stack": 1,
            "workers": 1,
        }
        return nw.compare(**{**defaults, **settings}, variants=variants)

    return run


def tables(folder: Path) -> list[str]:
    """Return the tables as text, but for the time that runs took."""
    timeless = pd.read_csv(folder / "runs.csv", dtype=str).drop(columns="seconds")
    return [timeless.to_csv(), (folder / "curves.csv").read_text()]


def stamps(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (folder / "runs").iterdir()}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_every_run_is_a_file_and_the_tables_follow(study, tmp_path: Path):
    found = study()
    folder = tmp_path / "out"
    assert found.folder == folder
    runs = {f"{v}-{s}.json" for v in ("plain", "batch") for s in range(3)}
    assert set(stamps(folder)) == runs
    assert {p.name for p in folder.iterdir()} == {
        *("study.json", "runs", "runs.csv", "curves.csv", "summary.csv", "report.html"),
    }
    pd.testing.assert_frame_equal(
        pd.read_csv(folder / "runs.csv"), found.frame(), check_dtype=False, check_exact=True
    )
    pd.testing.assert_frame_equal(
        pd.read_csv(folder / "curves.csv"), found.curves(), check_exact=True
    )
    manifest = json.loads((folder / "study.json").read_text())
    assert manifest["identity"]["lr"] == 0.01
    assert set(manifest["variants"]) == {"plain", "batch"}
    assert torch.__version__ in manifest["asked"]["versions"]


def test_disk_or_memory_make_no_difference(study):
    frames = [study(out=None).frame(), study().frame()]
    first, second = (frame.drop(columns="seconds") for frame in frames)
    pd.testing.assert_frame_equal(first, second, check_exact=True)


def test_resuming_adds_only_what_is_missing(study, tmp_path: Path):
    folder = tmp_path / "out"
    study("plain,batch", seeds=2)
    before = stamps(folder)
    found = study("plain,batch,dropout=0.2", seeds=3, resume=True)
    after = stamps(folder)
    assert {name: after[name] for name in before} == before
    assert len(after) == 9
    assert len(found.frame()) == 9
    whole = study("plain,batch,dropout=0.2", seeds=3, out=tmp_path / "whole")
    assert tables(folder) == tables(tmp_path / "whole")
    pd.testing.assert_frame_equal(
        found.summary().drop(columns="seconds"), whole.summary().drop(columns="seconds")
    )


def test_resuming_a_part_shows_that_part_and_keeps_the_rest(study, tmp_path: Path):
    study("plain,batch")
    found = study("batch,plain", seeds=[1], resume=True)
    assert found.frame()["variant"].tolist() == ["batch", "plain"]
    assert len(stamps(tmp_path / "out")) == 6
    assert len(study("plain,batch", resume=True).frame()) == 6


def test_a_torn_run_is_run_again(study, tmp_path: Path):
    study()
    before = tables(tmp_path / "out")
    path = tmp_path / "out" / "runs" / "batch-1.json"
    path.write_text(path.read_text()[:200])
    study(resume=True)
    assert tables(tmp_path / "out") == before


def wider() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 3))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"lr": 0.02}, "lr: 0.01 there, 0.02 here"),
        ({"epochs": 3}, "epochs: 2 there, 3 here"),
        ({"optimizer": "adam"}, "optimizer: 'sgd' there, 'adam' here"),
        ({"weight_decay": 0.1}, "weight_decay: None there, 0.1 here"),
        ({"evaluate_every": 3}, "evaluate_every: 1 there, 3 here"),
        ({"loss": "nll_loss"}, "loss: None there, 'nll_loss' here"),
        ({"model": wider}, "network: "),
    ],
)
def test_another_study_in_the_folder_is_not_touched(study, tmp_path: Path, changes, told: str):
    study(seeds=1)
    before = contents(tmp_path)
    for resume in (True, False):
        with pytest.raises(UsageError, match="holds another study") as caught:
            study(seeds=1, resume=resume, **changes)
        assert told in str(caught.value)
    assert contents(tmp_path) == before


def test_other_data_is_another_study(study, data):
    study(seeds=1)
    with pytest.raises(UsageError, match=r"holds another study \(data: "):
        study(seeds=1, resume=True, data=data("binary"))


def test_a_name_keeps_its_network(study, tmp_path: Path):
    study({"mine": wider}, seeds=1)
    before = contents(tmp_path)
    with pytest.raises(UsageError, match="holds runs of 'mine' with another network of that name"):
        study({"mine": lambda: nn.Linear(6, 3)}, seeds=1, resume=True)
    assert contents(tmp_path) == before


def test_target_and_margin_may_change_without_training(study, tmp_path: Path):
    study()
    before = stamps(tmp_path / "out")
    found = study(resume=True, target=0.4, margin=0.3)
    assert stamps(tmp_path / "out") == before
    assert found.target == 0.4


def test_a_study_that_is_there_needs_resume(study, tmp_path: Path):
    study()
    before = contents(tmp_path)
    with pytest.raises(UsageError, match="holds this study already, with 6 finished runs"):
        study()
    assert contents(tmp_path) == before


def test_bad_input_makes_no_folder(study, tmp_path: Path):
    with pytest.raises(UsageError):
        study("btach")
    with pytest.raises(UsageError):
        study(out=tmp_path / "new", target=3.0)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_below_a_file_cannot_be_made(study, tmp_path: Path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match=r"cannot write .*study.json: Not a directory"):
        study(out=tmp_path / "file" / "out")
    with pytest.raises(UsageError, match="is a file: name a folder"):
        study(out=tmp_path / "file")
    assert (tmp_path / "file").read_text() == "x"


@pytest.mark.parametrize("verb", ["compare", "fit"])
def test_a_folder_that_another_process_writes_to_is_left_alone(tmp_path: Path, verb: str):
    code = "import sys; from normwise.files import owned\n"
    code += "with owned(sys.argv[1]): print(flush=True); input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    out = tmp_path / "out"
    with subprocess.Popen([sys.executable, "-c", code, str(out)], **pipes) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(UsageError, match=f"another process is writing to {out}: wait"):
            getattr(nw, verb)(out=out, epochs=1, progress=False)
        other.kill()
    assert not out.exists()


def test_a_folder_that_may_not_be_written(study, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    with pytest.raises(UsageError, match=r"cannot write .*study.json: Permission denied"):
        study()


def test_a_full_disk_keeps_what_is_finished(study, tmp_path: Path, monkeypatch):
    whole = tables(study(out=tmp_path / "whole").folder)
    sync, calls = os.fsync, []

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) > 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(handle)

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(UsageError, match="No space left on device"):
            study()
    assert len(stamps(tmp_path / "out")) == 3
    assert not list((tmp_path / "out").rglob(".*"))
    study(resume=True)
    assert tables(tmp_path / "out") == whole


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Return what makes Ctrl-C come after a number of finished runs."""
    from normwise.study.store import Store

    save = Store.save

    def after(runs: int) -> None:
        left = [runs]

        def saving(store: Store, record) -> None:
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            save(store, record)

        monkeypatch.setattr(Store, "save", saving)

    return after


def test_ctrl_c_passes_on_and_keeps_what_is_finished(
    study, interrupted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    interrupted(3)
    torch.set_num_threads(2)
    try:
        with pytest.raises(KeyboardInterrupt):
            study()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    folder = tmp_path / "out"
    assert len(stamps(folder)) == 3
    assert len(pd.read_csv(folder / "runs.csv")) == 3
    assert (folder / "report.html").exists()
    monkeypatch.undo()


def test_ctrl_c_before_the_first_run_leaves_no_table(study, interrupted, tmp_path: Path):
    interrupted(0)
    with pytest.raises(KeyboardInterrupt):
        study()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["study.json"]


def test_the_first_seeds_hidden_layers_are_looked_into(study):
    found = study("plain,batch", seeds=[4, 1], epochs=4)
    layers = found.results.layers()
    assert {(r.variant, r.seed) for r in found.results.records if r.snapshots} == {
        ("plain", 4),
        ("batch", 4),
    }
    steps = sorted(set(layers["step"]))
    assert steps[0] == 0
    assert steps[-1] == found.results.budget
    assert len(steps) == 5
    assert set(steps) <= set(found.curves()["step"])


def test_the_facts_tell_how_it_was_done(study):
    facts = study(optimizer="sgd", momentum=0.9, nesterov=True, weight_decay=0.5).facts
    assert facts["optimizer"] == "sgd, lr=0.01, momentum=0.9 (Nesterov), weight_decay=0.5"
    assert facts["samples"] == "77 to train, 19 to validate, 24 to test"
    assert "8 steps of 16 samples" in facts["epochs"]
    assert f"{6 * 8 + 8 + 8 * 3 + 3} parameters" in facts["network"]


# --- SIGKILL -----------------------------------------------------------------------------------

ASKED = ["compare", "--data", "digits", "--variants", "plain,batch,dropout=0.2", "--seeds", "3"]
ASKED += ["--epochs", "2", "--lr", "0.1"]


def start(arguments: list[str]) -> int:
    """Run the command line in a child that has all imports done already; return its id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        sys.argv = ["normwise", *arguments]
        main()
        status = 0
    except SystemExit as stop:
        status = int(stop.code or 0)
    finally:
        os._exit(status)


def ended(child: int, seconds: float) -> int | None:
    """Wait for a child; None where it is still running after that time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    return None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(("workers", "stack", "wanted"), [(1, 1, 7), (2, 2, 3)])
def test_killed_at_random_moments_and_resumed_is_never_interrupted(
    tmp_path: Path, workers: int, stack: int, wanted: int
):
    asked = [*ASKED, "--workers", str(workers), "--stack", str(stack)]
    began = time.monotonic()
    assert ended(start([*asked, "--out", str(tmp_path / "whole")]), 120) == 0
    whole = time.monotonic() - began
    uninterrupted = tables(tmp_path / "whole")
    moments, kills, chains = random.Random(11), 0, 0
    while kills < wanted:
        folder = tmp_path / f"killed{chains}"
        chains += 1
        while (child := start([*asked, "--out", str(folder), "--resume"])) and (
            status := ended(child, moments.uniform(0, 0.6 * whole) if kills < wanted else 120)
        ) is None:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            kills += 1
        assert status == 0
        assert tables(folder) == uninterrupted


def test_a_variant_that_trains_otherwise_is_another_variant(study):
    study({"fast": "lr=5x"})
    with pytest.raises(UsageError, match="'fast'"):
        study({"fast": "lr=50x"}, resume=True)


def test_another_loss_of_the_same_name_is_another_study(study):
    study(loss=lambda output, y: F.cross_entropy(output, y))
    with pytest.raises(UsageError, match="another study"):
        study(loss=lambda output, y: 2 * F.cross_entropy(output, y), resume=True)


def test_interrupted_studies_have_whole_pairs(study, tmp_path: Path):
    study()
    schedule = json.loads((tmp_path / "out" / "study.json").read_text())["schedule"]
    seeds = [job["runs"][0][1] for job in schedule["jobs"]]
    assert seeds == [0, 0, 1, 1, 2, 2]
