"""What holds for every test: one thread, the same random examples each time, where MNIST lies."""

import os
import signal
from pathlib import Path

import pytest
import torch
from hypothesis import settings

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"
MNIST_FILE = "train-images-idx3-ubyte"

torch.set_num_threads(1)

# A shell that runs the tests in the background ignores Ctrl-C for them, and so would the programs
# that are to be interrupted.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("normwise", derandomize=True, deadline=None)
settings.load_profile("normwise")

if "NORMWISE_DATA" not in os.environ and SHARED_DATA.is_dir():
    os.environ["NORMWISE_DATA"] = str(SHARED_DATA)
elif "NORMWISE_DATA" in os.environ:  # absolute, since tests change the working directory
    os.environ["NORMWISE_DATA"] = str(Path(os.environ["NORMWISE_DATA"]).resolve())


@pytest.fixture(scope="session")
def mnist() -> Path:
    """Return the folder with MNIST's four IDX files; skip the test where there is none."""
    data = os.environ.get("NORMWISE_DATA")
    if not data:
        pytest.skip("needs MNIST: set NORMWISE_DATA to the folder that holds it")
    for folder in (Path(data), Path(data) / "mnist", Path(data) / "MNIST" / "raw"):
        if any(folder.glob(f"{MNIST_FILE}*")):
            return folder
    pytest.skip(f"needs MNIST: no {MNIST_FILE}[.gz] below NORMWISE_DATA={data}")
