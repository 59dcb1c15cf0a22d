"""Every example runs, with a small budget, and prints what it promises."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"

# Of each, the epochs to train and what it must print; groups are numbers, and must be so large.
PRINTED = {
    "mnist_classifier": (5, r"(\d+\.\d+)% of 359 test images are right", [80]),
    "noisy_points": (100, r"plain +([\d.]+) +([\d.]+)\ndropout=0.5 +[\d.]+ +[\d.]+", [0.03, 0.05]),
    "own_csv": (20, r"Test accuracy (0\.\d+)", [0.9]),
    "pretraining": (40, r"from the encoder: test accuracy (0\.\d+)", [0.6]),
    "two_heads": (5, r"Test score (0\.\d+)", [0.6]),
}


def test_all_are_here():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(PRINTED)


@pytest.mark.parametrize("name", PRINTED)
def test_an_example_runs(name: str, tmp_path: Path):
    epochs, wanted, least = PRINTED[name]
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py"), str(epochs)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "NORMWISE_DATA": "", "OMP_NUM_THREADS": "1"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    found = re.search(wanted, done.stdout)
    assert found, done.stdout
    reached = [float(number) for number in found.groups()]
    assert all(a >= b for a, b in zip(reached, least, strict=True))
    told = re.findall(r"(runs/\S+\.(?:html|png))", done.stdout)
    assert all((tmp_path / path).exists() for path in told)
