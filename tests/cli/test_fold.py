import json
from pathlib import Path

import pytest
import torch
from torch import nn

NETS = """
import torch
from torch import nn

def conv():
    torch.manual_seed(0)
    body = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout()
    return nn.Sequential(*body, nn.Flatten(), nn.Linear(64, 2))

def mlp():
    print("building")
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))

def number():
    return 3
"""


@pytest.fixture(autouse=True)
def networks(folder: Path) -> None:
    (folder / "folds.py").write_text(NETS)


def test_weights_go_in_and_a_proved_program_comes_out(normwise, folder: Path):
    network = nn.Sequential(
        *(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout()),
        *(nn.Flatten(), nn.Linear(64, 2)),
    )
    nn.init.normal_(network[1].running_mean)
    torch.save(network.state_dict(), "w.pt")
    ended = normwise(
        *("fold", "folds.py:conv", "--weights", "w.pt", "--shape", "3,6,6", "--out", "net.pt2")
    )
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[:2] == ["folded  3  dropout removed", "folded  1  norm folded back into 0"]
    assert lines[-1] == "written and proved: net.pt2"
    x = torch.randn(3, 3, 6, 6)
    torch.testing.assert_close(torch.export.load("net.pt2").module()(x), network.eval()(x))


def test_real_samples_and_json(normwise):
    ended = normwise("fold", "folds.py:mlp", "--data", "data.npz", "--format", "json")
    assert ended.code == 0
    assert ended.err == "building\n"
    told = json.loads(ended.out)
    assert [entry["place"] for entry in told["entries"]] == ["1"]
    assert told["error"] <= told["bound"]
    assert told["inputs"] == ["(any, 6)"]
    assert told["out"] is None


def test_mistakes_end_with_a_message_and_write_nothing(normwise, folder: Path):
    before = sorted(folder.iterdir())
    asked = {
        "one of the two": ["fold", "folds.py:mlp"],
        "unknown ending '.onx' (did you mean '.onnx'?)": [
            *("fold", "folds.py:mlp", "--shape", "6", "--out", "a.onx")
        ],
        "write positive numbers": ["fold", "folds.py:mlp", "--shape", "6,x"],
        "the network fails on the example": ["fold", "folds.py:mlp", "--shape", "7"],
        "returned a int": ["fold", "folds.py:number", "--shape", "6"],
        "no such file": ["fold", "folds.py:mlp", "--shape", "6", "--weights", "w.pt"],
        "has no 'mpl' (did you mean 'mlp'?)": ["fold", "folds.py:mpl", "--shape", "6"],
    }
    for message, arguments in asked.items():
        ended = normwise(*arguments)
        assert ended.code == 2
        assert message in ended.err
        assert "Traceback" not in ended.err
        assert ended.out == ""
    assert [p for p in sorted(folder.iterdir()) if p.name != "__pycache__"] == before


def test_two_mistakes_are_told_at_once(normwise):
    ended = normwise("fold", "folds.py:mlp", "--out", "a.txt")
    assert ended.err.count("error:") == 2
