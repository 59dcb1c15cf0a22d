"""The program run in this process, in a folder with networks and data of a user's own."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from normwise.cli import main

NETS = """
from torch import nn

def small():
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))

def values():
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 1))

def flat():
    return nn.Linear(6, 3)

def chatty():
    print("building")
    return small()

def broken():
    raise RuntimeError("no such layer")

def nothing():
    small()

def wide(width):
    return nn.Linear(6, width)

ONE = small()

def same():
    return ONE
"""


class Ended(NamedTuple):
    """How the program ended: its exit code, and what it printed."""

    code: int
    out: str
    err: str


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder, which holds `nets.py`, `data.npz` and `values.npz`."""
    random = np.random.default_rng(5)
    x = random.normal(size=(120, 6)).astype("float32")
    score = x[:, 0] + x[:, 1]
    np.savez(tmp_path / "data.npz", x=x, y=np.digitize(score, [-0.5, 0.5]))
    np.savez(tmp_path / "values.npz", x=x, y=score)
    (tmp_path / "nets.py").write_text(NETS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def normwise(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Ended]:
    """Return a function that runs `normwise` with arguments."""
    monkeypatch.setattr("normwise.report.save_figures", lambda tables, folder: [])
    monkeypatch.setattr("normwise.report.study_page", lambda tables: f"<html>{tables.verdict}")

    def run(*arguments: str, columns: int | None = None) -> Ended:
        monkeypatch.setattr(sys, "argv", ["normwise", *arguments])
        if columns is None:
            monkeypatch.delenv("COLUMNS", raising=False)
        else:
            monkeypatch.setenv("COLUMNS", str(columns))
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        return Ended(code, *capsys.readouterr())

    return run
