import subprocess
import sys
from importlib.metadata import version

import pytest

from normwise.edit import ACTIVATIONS, INITS
from normwise.study.words import WORDS


def test_the_version(normwise):
    assert normwise("--version") == (0, f"normwise {version('normwise')}\n", "")


@pytest.mark.parametrize("columns", [80, 100])
def test_help_fits_the_terminal_and_names_everything(normwise, columns: int):
    ended = normwise("compare", "--help", columns=columns)
    assert ended.code == 0
    assert max(map(len, ended.out.splitlines())) <= columns
    assert "…" not in ended.out
    told = " ".join(line.strip("│ ") for line in ended.out.splitlines())
    for word in (*WORDS, *INITS, *ACTIVATIONS, "digits", "mnist", "sgd, adam or adamw"):
        assert word in told
    assert "Train variants of a network over many seeds" in normwise("--help").out


def test_no_command_shows_the_help(normwise):
    ended = normwise()
    assert "compare" in ended.out + ended.err


def test_an_unknown_command_or_option(normwise):
    for arguments in (["compere"], ["compare", "--sedes", "3"], ["compare", "--seeds", "x"]):
        ended = normwise(*arguments)
        assert ended.code == 2
        assert "Traceback" not in ended.err
        assert ended.out == ""
    assert "compare" in normwise("compere").err


def test_python_m_normwise_is_the_same_program(folder):
    ended = subprocess.run(
        [sys.executable, "-m", "normwise", "compare", "--data", "digist"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.startswith("error: no data is called 'digist' (did you mean 'digits'?)")
    assert not (folder / "runs").exists()
