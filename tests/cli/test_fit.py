import json
import shlex
import signal
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from normwise.study import Trained
from normwise.study.epochs import Shown

SMALL = ["fit", "nets.py:small", "--data", "data.npz", "--epochs", "3", "--batch-size", "16"]


def test_a_training_ends_with_table_verdict_and_where_all_is(normwise, folder: Path):
    ended = normwise(*SMALL, "--lr", "0.1")
    assert (ended.code, ended.err) == (0, "")
    rows = [line.split() for line in ended.out.splitlines()]
    assert rows[1] == ["step", "epoch", "rate", "loss", "loss", "accuracy"]
    assert [row[:2] for row in rows[2:6]] == [["0", "0"], ["4", "1"], ["8", "2"], ["12", "3"]]
    where = Path("runs/data-small-1")
    history = pd.read_csv(where / "history.csv")
    assert [float(row[-1]) for row in rows[2:6]] == pytest.approx(history["val_acc"], abs=5e-5)
    assert ended.out.endswith(f"report: {where}/report.html\nmodel: {where}/model.safetensors\n")
    assert {"report.html", "model.safetensors"} <= {path.name for path in where.iterdir()}
    assert Trained.load(where, "nets.py:small").verdict in ended.out.replace("\n", " ")


def test_the_table_has_the_best_and_the_last(normwise):
    ended = normwise(*SMALL, "--epochs", "8", "--lr", "30", "--out", "here")
    told = [int(line.split()[0]) for line in ended.out.splitlines()[2:8]]
    steps = pd.read_csv("here/history.csv")["step"].tolist()
    best = Trained.load("here", "nets.py:small").best
    assert best < steps[-5]
    assert told == [best, *steps[-5:]]


def test_an_early_end_is_told(normwise):
    ended = normwise(*SMALL, "--epochs", "8", "--lr", "1e-30", "--early-stop", "1", "--out", "one")
    assert pd.read_csv("one/history.csv")["epoch"].tolist() == [0, 1]  # the weights do not move
    assert "note: early_stop=1 ended the training after 1 of 8 epochs." in ended.out
    assert "the lowest loss of 1 epoch." in ended.out
    assert "note:" not in normwise(*SMALL).out


def test_a_diverged_training_ends_with_code_1(normwise):
    ended = normwise(*SMALL, "--lr", "1e30")
    assert ended.code == 1
    assert "The training diverged by step 4: " in ended.out
    assert "model.safetensors" in ended.out


def test_every_option_arrives(normwise, folder: Path):
    options = {
        "--variant": "layer",
        "--seed": "3",
        "--lr": "0.25",
        "--optimizer": "sgd",
        "--momentum": "0.5",
        "--weight-decay": "0.125",
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
        "--early-stop": "4",
        "--loss": "cross_entropy",
        "--evaluate-every": "5",
        "--checkpoint-every": "7",
        "--device": "cpu",
        "--out": "here",
    }
    arguments = [text for pair in options.items() for text in pair]
    ended = normwise(*SMALL, *arguments, "--nesterov", "--format", "json")
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)
    assert [row["step"] for row in told["history"]] == [0, 5, 10, 12]
    last = sorted(Path("here/checkpoints").glob("step-*.json"))
    assert [json.loads(path.read_text())["step"] for path in last] == [7, 12]
    identity = json.loads(last[0].read_text())["identity"]
    wanted = {
        "variant": "layer",
        "seed": 3,
        "epochs": 3,
        "batch_size": 16,
        "optimizer": "sgd",
        "lr": 0.25,
        "momentum": 0.5,
        "nesterov": True,
        "weight_decay": 0.125,
        "schedule": "cosine",
        "warmup": 0.5,
        "clip": 2.0,
        "smooth": 0.1,
        "l1": "1e-5",
        "l2": "1e-4:0*",
        "wd": "0.01",
        "entropy": 0.2,
        "aug": "noise:0.1",
        "accumulate": 2,
        "precision": "bf16",
        "early_stop": 4,
        "loss": "cross_entropy",
        "evaluate_every": 5,
        "device": "cpu",
    }
    assert {name: identity[name] for name in wanted} == wanted


def test_json_alone_is_on_standard_output(normwise):
    arguments = [text if text != "nets.py:small" else "nets.py:chatty" for text in SMALL]
    ended = normwise(*arguments, "--format", "json")
    assert ended.code == 0
    told = json.loads(ended.out)
    assert "building" in ended.err
    trained = Trained.load(told["folder"], "nets.py:small")
    assert told["score"] == trained.score
    assert told["best"] == trained.best
    assert told["history"][0]["train_loss"] is None
    pd.testing.assert_frame_equal(
        pd.DataFrame(told["history"]).astype(float), trained.frame().astype(float)
    )


def test_weights_to_start_from(normwise, folder: Path):
    first = {"0.weight": torch.full((8, 6), 0.5), "decoder.weight": torch.ones(2)}
    save_file(first, folder / "first.safetensors")
    ended = normwise(*SMALL, "--init-from", "first.safetensors", "--lr", "1e-9", "--out", "here")
    assert ended.code == 0, ended.err
    assert "1 taken over: 0.weight" in ended.out
    assert "1 of the source not used: decoder.weight" in ended.out
    trained = load_file("here/model.safetensors")["0.weight"]
    torch.testing.assert_close(trained, first["0.weight"], atol=1e-6, rtol=0)


def test_ctrl_c_keeps_what_is_trained_and_says_how_to_go_on(normwise, folder: Path, monkeypatch):
    def stepped(shown: Shown, step: int) -> None:
        if step == 7:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Shown, "stepped", stepped)
        ended = normwise(*SMALL, "--out", "my net")
    assert ended.code == 2
    assert "note: Ctrl-C ended the training after step 7." in ended.out
    assert pd.read_csv("my net/history.csv")["step"].tolist() == [0, 4, 7]
    assert "model: my net/model.safetensors" in ended.out
    told = ended.err.removeprefix("error: interrupted. Go on with: ")
    program, *again = shlex.split(told)
    assert (program, again[-1]) == ("normwise", "--resume")
    assert normwise(*again).code == 0
    assert normwise(*SMALL, "--out", "at once").code == 0
    for name in ("model.safetensors", "history.csv"):
        assert (folder / "my net" / name).read_bytes() == (folder / "at once" / name).read_bytes()


@pytest.mark.parametrize("checkpoints", [False, True])
def test_a_second_ctrl_c_ends_at_once(normwise, monkeypatch, checkpoints: bool):
    def stepped(shown: Shown, step: int) -> None:
        if step == 7:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Shown, "stepped", stepped)
        ended = normwise(*SMALL, "--out", "here", "--checkpoint-every", "3" if checkpoints else "9")
    assert (ended.code, ended.out) == (2, "")
    kept = "checkpoints are" if checkpoints else "no checkpoint is yet"
    told = f"error: interrupted: {kept} in here. Go on with: "
    assert ended.err.startswith(told)
    assert normwise(*shlex.split(ended.err.removeprefix(told))[1:]).code == 0
    assert pd.read_csv("here/history.csv")["step"].tolist() == [0, 4, 8, 12]


def test_ctrl_c_before_the_training_begins(normwise, folder: Path, monkeypatch):
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("normwise.study.fitting.load", interrupt)
    ended = normwise(*SMALL)
    assert ended.code == 2
    assert ended.err == "error: interrupted before the training began: nothing was kept\n"
    assert not (folder / "runs").exists()


BAD = {
    "unknown variant": (["--variant", "btach"], "'btach' (did you mean 'batch'?)"),
    "unknown data": (["--data", "digist"], "'digist' (did you mean 'digits'?)"),
    "no such device": (["--device", "gpu"], "device='gpu' cannot be used here"),
    "no epochs": (["--epochs", "0"], "epochs=0"),
    "no patience": (["--early-stop", "0"], "early_stop=0"),
    "no weights": (["--init-from", "no.safetensors"], "no.safetensors"),
    "a file": (["--out", "nets.py"], "out=nets.py is a file: name a folder"),
    "resume nothing named": (["--resume"], "--resume needs --out, the folder of the training"),
    "a used folder": (["--out", "."], "out=. is not empty: go on with the training in it"),
    "nothing to resume": (["--out", ".", "--resume"], "out=. holds no checkpoint to go on from"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_clear_error(normwise, folder: Path, case: str):
    changes, told = BAD[case]
    before = sorted(folder.rglob("*.*"))
    ended = normwise(*SMALL, *changes)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("error: ")
    assert ended.err.count("error: ") == 1
    assert told in ended.err
    assert "Traceback" not in ended.err
    assert [path for path in sorted(folder.rglob("*.*")) if "__pycache__" not in path.parts] == [
        path for path in before if "__pycache__" not in path.parts
    ]


def test_all_mistakes_come_at_once(normwise, folder: Path):
    changes = ["--data", "digist", "--variant", "btach", "--lr", "-1", "--epochs", "0"]
    ended = normwise(*SMALL, *changes)
    assert ended.code == 2
    assert ended.err.count("error: ") == len(ended.err.splitlines()) == 4
    assert not (folder / "runs").exists()
