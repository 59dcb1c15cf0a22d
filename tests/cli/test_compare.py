import errno
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

SMALL = ["compare", "nets.py:small", "--data", "data.npz", "--variants", "plain,batch"]
SMALL += ["--seeds", "2", "--epochs", "2", "--batch-size", "16", "--workers", "1", "--stack", "1"]


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(p): p.read_bytes() for p in files if "__pycache__" not in p.parts}


def test_a_study_ends_with_table_verdict_and_report(normwise, folder: Path):
    ended = normwise(*SMALL)
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[1].split()[0] == "variant"
    assert [lines[2].split()[0], lines[3].split()[0]] == ["plain", "batch"]
    assert "batch is not shown to be better than plain" in ended.out
    assert lines[-1] == "report: runs/data-small-1/report.html"
    assert (folder / "runs" / "data-small-1" / "report.html").exists()
    assert len(pd.read_csv("runs/data-small-1/runs.csv")) == 4


def test_every_study_gets_a_folder_of_its_own(normwise, folder: Path):
    for number in (1, 2):
        assert normwise(*SMALL).out.endswith(f"runs/data-small-{number}/report.html\n")


def test_every_option_arrives(normwise):
    options = {
        "--seeds": "1",
        "--epochs": "3",
        "--batch-size": "20",
        "--lr": "0.25",
        "--optimizer": "sgd",
        "--momentum": "0.5",
        "--weight-decay": "0.125",
        "--loss": "huber_loss",
        "--evaluate-every": "4",
        "--target": "0.75",
        "--margin": "0.0625",
        "--device": "cpu",
        "--workers": "1",
        "--stack": "1",
        "--out": "here",
    }
    arguments = [text for pair in options.items() for text in pair]
    ended = normwise(
        *("compare", "nets.py:values", "--data", "values.npz", "--variants", "plain,lr=2x"),
        *(*arguments, "--nesterov", "--format", "json"),
    )
    assert ended.code == 0, ended.err
    identity = json.loads(Path("here/study.json").read_text())["identity"]
    wanted = {
        "epochs": 3,
        "batch_size": 20,
        "optimizer": "sgd",
        "lr": 0.25,
        "momentum": 0.5,
        "nesterov": True,
        "weight_decay": 0.125,
        "loss": "huber_loss",
        "evaluate_every": 4,
        "device": "cpu",
    }
    assert {name: identity[name] for name in wanted} == wanted
    told = json.loads(ended.out)
    assert told["target"] == 0.75
    assert told["facts"]["training"].startswith("2 runs alone, in one process")
    assert told["folder"] == "here"


def test_every_word_is_an_option(normwise):
    options = {
        "--schedule": "cosine",
        "--warmup": "0.5",
        "--clip": "2",
        "--smooth": "0.1",
        "--l1": "1e-5",
        "--l2": "1e-4:0*",
        "--wd": "0.01",
        "--entropy": "0.2",
        "--augment": "noise:0.1",
        "--accumulate": "2",
        "--precision": "bf16",
        "--early-stop": "3",
        "--target": "0.75",
    }
    arguments = [text for pair in options.items() for text in pair]
    ended = normwise(*SMALL, *arguments, "--stop-at-target", "--out", "here")
    assert ended.code == 0, ended.err
    identity = json.loads(Path("here/study.json").read_text())["identity"]
    wanted = {
        "schedule": "cosine",
        "warmup": 0.5,
        "clip": 2.0,
        "smooth": 0.1,
        "entropy": 0.2,
        "l1": "1e-5",
        "l2": "1e-4:0*",
        "wd": "0.01",
        "aug": "noise:0.1",
        "accumulate": 2,
        "precision": "bf16",
        "early_stop": 3,
        "stop_at_target": 0.75,
    }
    assert {key: identity[key] for key in wanted} == wanted


def test_json_alone_is_on_standard_output(normwise):
    arguments = [text if text != "nets.py:small" else "nets.py:chatty" for text in SMALL]
    ended = normwise(*arguments, "--format", "json")
    assert ended.code == 0
    told = json.loads(ended.out)
    assert [row["variant"] for row in told["variants"]] == ["plain", "batch"]
    assert "building" in ended.err
    runs = pd.read_csv("runs/data-chatty-1/runs.csv")
    for row in told["variants"]:
        scores = runs[runs["variant"] == row["variant"]]["test_acc"]
        assert row["estimate"] == pytest.approx(scores.mean())


def test_resume(normwise, folder: Path):
    assert normwise(*SMALL, "--out", "mine").code == 0
    before = contents(folder / "mine" / "runs")
    again = normwise(*SMALL, "--out", "mine")
    assert again.code == 2
    assert "holds this study already, with 4 finished runs: resume it (--resume" in again.err
    more = [*SMALL, "--out", "mine", "--resume"]
    more[more.index("--seeds") + 1] = "3"
    assert normwise(*more).code == 0
    after = contents(folder / "mine" / "runs")
    assert {name: after[name] for name in before} == before
    assert len(after) == 6
    alone = normwise(*SMALL, "--resume")
    assert (alone.code, alone.err) == (
        2,
        "error: --resume needs --out, the folder of the study to go on with\n",
    )


def changed(**changes: str) -> list[str]:
    """Return the small study's arguments with other values for some."""
    arguments = SMALL.copy()
    if "model" in changes:
        arguments[1] = changes.pop("model")
    return arguments + [text for k, v in changes.items() for text in (f"--{k}", v)]


BAD = {
    "unknown variant": ({"variants": "plain,btach"}, "'btach' (did you mean 'batch'?)"),
    "unknown data": ({"data": "digist"}, "'digist' (did you mean 'digits'?)"),
    "factory raises": ({"model": "nets.py:broken"}, "broken raised RuntimeError: no such layer"),
    "factory returns nothing": ({"model": "nets.py:nothing"}, "returned a NoneType, not an nn.Mo"),
    "factory with arguments": ({"model": "nets.py:wide"}, "wide needs arguments (width)"),
    "factory returns one": ({"model": "nets.py:same"}, "same returns the same network twice"),
    "no such factory": ({"model": "nets.py:smal"}, "no 'smal' (did you mean 'small'?)"),
    "no such file": ({"model": "nats.py:small"}, "no such file"),
    "no such data file": ({"data": "dota.npz"}, "dota.npz"),
    "unlike lengths": ({"data": "unlike.npz"}, "x has 100 samples but y has 90"),
    "nan in x": ({"data": "nan.npz"}, "x holds 1 NaN and 0 infinite values in 1 of 100 samples"),
    "one class": ({"data": "one.npz"}, "y holds one class only (7)"),
    "integers": ({"data": "integers.npz"}, "x holds int64, and the network needs floating-point"),
    "target too high": ({"target": "1.2"}, "target=1.2: no run can reach it"),
    "no seeds": ({"seeds": "0"}, "seeds=0: a study needs at least one seed"),
    "no such loss": ({"loss": "huber"}, "unknown loss 'huber' (did you mean 'huber_loss'?)"),
    "no such optimizer": ({"optimizer": "SGD"}, "unknown optimizer 'SGD' (did you mean 'sgd'?)"),
    "no such device": ({"device": "gpu"}, "device='gpu' cannot be used here"),
    "below a file": ({"out": "nets.py/out"}, "cannot write nets.py/out/study.json"),
    "a file": ({"out": "nets.py"}, "out=nets.py is a file: name a folder"),
    "not a study": ({"out": "other"}, "out=other holds files but no study"),
    "too many groups": ({"variants": "plain,group=3"}, "variant 'group=3': "),
}


@pytest.fixture
def bad_files(folder: Path) -> Path:
    x, y = np.zeros((100, 6), "float32"), np.arange(100) % 3
    x[:, 0] = y
    np.savez(folder / "unlike.npz", x=x, y=y[:90])
    np.savez(folder / "one.npz", x=x, y=np.full(100, 7))
    np.savez(folder / "integers.npz", x=x.astype("int64"), y=y)
    x[3, 2] = np.nan
    np.savez(folder / "nan.npz", x=x, y=y)
    (folder / "other").mkdir()
    (folder / "other" / "thesis.tex").write_text("x")
    return folder


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_clear_error(normwise, bad_files: Path, case: str):
    changes, told = BAD[case]
    before = contents(bad_files)
    ended = normwise(*changed(**changes))
    assert ended.code == 2
    assert ended.out == ""
    assert ended.err.startswith("error: ")
    assert ended.err.count("error: ") == 1
    assert told in ended.err
    assert "Traceback" not in ended.err
    assert contents(bad_files) == before


def test_all_mistakes_come_at_once(normwise, folder: Path):
    ended = normwise(
        *changed(model="nets.py:broken", data="digist", variants="btach,foo", seeds="0", lr="-1")
    )
    assert ended.code == 2
    assert ended.err.count("error: ") == len(ended.err.splitlines()) == 6
    assert not (folder / "runs").exists()


def test_another_study_in_the_folder_stays_as_it_is(normwise, folder: Path):
    normwise(*SMALL, "--out", "mine")
    before = contents(folder)
    for extra in ([], ["--resume"]):
        ended = normwise(*SMALL, "--out", "mine", "--lr", "0.5", *extra)
        assert ended.code == 2
        assert "out=mine holds another study (lr: 0.01 there, 0.5 here)" in ended.err
    assert contents(folder) == before


def test_a_full_disk(normwise, folder: Path, monkeypatch: pytest.MonkeyPatch):
    sync, calls = os.fsync, []

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) > 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(handle)

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        ended = normwise(*SMALL, "--out", "mine")
    assert ended.code == 2
    assert "No space left on device" in ended.err
    assert "Traceback" not in ended.err
    assert {path.name for path in (folder / "mine").iterdir()} == {"study.json", "runs"}
    assert len(list((folder / "mine" / "runs").iterdir())) == 2
    assert normwise(*SMALL, "--out", "mine", "--resume").code == 0


@pytest.mark.parametrize("out", [["--out", "my study"], ["--out=my study"], []])
def test_ctrl_c_says_how_to_go_on(normwise, folder: Path, monkeypatch, out: list[str]):
    from normwise.study.store import Store

    save, calls = Store.save, []

    def saving(store: Store, record) -> None:
        calls.append(record)
        if len(calls) == 4:
            raise KeyboardInterrupt
        save(store, record)

    monkeypatch.setattr(Store, "save", saving)
    ended = normwise(*SMALL, *out)
    where = "my study" if out else "runs/data-small-1"
    assert ended.code == 2
    told = re.fullmatch(
        rf"error: interrupted: 3 finished runs are kept in {where}. Go on with: (.*)\n", ended.err
    )
    assert told
    program, *again = shlex.split(told[1])
    assert program == "normwise"
    assert again[-1] == "--resume"
    assert normwise(*again).code == 0
    assert len(calls) == 5
    assert len(pd.read_csv(Path(where) / "runs.csv")) == 4


def test_ctrl_c_before_the_first_run(normwise, folder: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("normwise.study.store.Store.save", interrupt)
    ended = normwise(*SMALL, "--out", "mine")
    assert ended.code == 2
    assert ended.err == ("error: interrupted before the first run was finished: nothing was kept\n")
    monkeypatch.undo()


def test_sigint_to_the_program(folder: Path):
    arguments = ["compare", "nets.py:flat", "--data", "data.npz", "--variants", "plain,lr=2x"]
    arguments += ["--seeds", "500", "--stack", "1", "--workers", "1", "--out", "mine"]
    program = subprocess.Popen(
        [sys.executable, "-m", "normwise", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    until = time.monotonic() + 120
    while not (folder / "mine" / "runs" / "plain-1.json").exists():
        assert program.poll() is None, program.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)
    program.send_signal(signal.SIGINT)
    out, err = program.communicate(timeout=120)
    assert program.returncode == 2
    assert out == ""
    assert "Traceback" not in err
    told = re.search(r"interrupted: (\d+) finished runs are kept in mine. Go on with: (.*)", err)
    assert told
    assert len(pd.read_csv("mine/runs.csv")) == int(told[1])
    assert len(list(Path("mine/runs").iterdir())) == int(told[1])
    assert told[2] == shlex.join(["normwise", *arguments, "--resume"])
    assert (folder / "mine" / "report.html").exists()
