"""What does it cost to stream samples that do not fit, beside training on them in memory?

The memory bound is half of what the samples take. Two sources are streamed: a map-style `Dataset`,
whose samples are kept as far as they fit, and tensors that stay on the host. Samples are as cheap
to make as a file of arrays, so that no decoding hides what streaming costs. All trainings are whole
calls of `nw.fit`, with their evaluations; loading is told apart.

    python benchmarks/streaming.py           # all
    python benchmarks/streaming.py --quick   # only to see that it runs
"""

import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _measuring import interleaved, median, seconds, table, write
from torch import Tensor, nn
from torch.utils.data import Dataset

import normwise as nw
from normwise.data import Data, Streamed

QUICK = "--quick" in sys.argv
ROUNDS = 2 if QUICK else 3
SAMPLES = 2000 if QUICK else 10000
EPOCHS = 1 if QUICK else 3
SIDE = 32


class File(Dataset):
    """Images in a file of arrays, from which every sample is read when it is asked for."""

    def __init__(self, folder: Path) -> None:
        draw = np.random.default_rng(0)
        self.y = draw.integers(0, 10, SAMPLES)
        pattern = draw.normal(size=(10, 3, SIDE, SIDE))
        shape = (SAMPLES, 3, SIDE, SIDE)
        x = np.memmap(folder / "x.bin", np.float32, "w+", shape=shape)
        for start in range(0, SAMPLES, 1000):
            y = self.y[start : start + 1000]
            x[start : start + 1000] = pattern[y] + 3 * draw.normal(size=(len(y), *shape[1:]))
        x.flush()
        file = torch.from_file(str(folder / "x.bin"), size=x.size, dtype=torch.float32)
        self.x = file.view(shape)

    def __len__(self) -> int:
        return SAMPLES

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.x[index].clone(), int(self.y[index])


def mlp() -> nn.Module:
    return nn.Sequential(
        *(nn.Flatten(), nn.Linear(3 * SIDE**2, 48), nn.BatchNorm1d(48), nn.ReLU()),
        nn.Linear(48, 10),
    )


def cnn() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(16 * (SIDE // 4) ** 2, 10)),
    )


def fit(network: Callable[[], nn.Module], data: Data, device: str) -> nw.Trained:
    options: dict[str, Any] = {"epochs": EPOCHS, "batch_size": 64, "progress": False}
    return nw.fit(network, data, device=device, **options)


def main() -> None:
    torch.set_num_threads(1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    rows, read = [], 0.0
    with tempfile.TemporaryDirectory() as folder:
        dataset = File(Path(folder))
        bound = SAMPLES * 3 * SIDE**2 * 4 // 2
        whole = nw.data.load(dataset, memory=1 << 62)
        loads = {
            "in memory": partial(nw.data.load, dataset, memory=1 << 62),
            "streamed": partial(nw.data.load, dataset, memory=bound),
        }
        loading = interleaved(
            {name: partial(seconds, load) for name, load in loads.items()}, min(ROUNDS, 3)
        )
        kinds = {
            "in memory": whole.to(device),
            "a Dataset": loads["streamed"]().to(device),
            "tensors of the host": whole.to(device, bound),
        }
        read = median([seconds(partial(_read, kinds["a Dataset"], dataset)) for _ in range(5)])
        for name, network in (("perceptron", mlp), ("convolutions", cnn)):
            _check(network, kinds, device)
            took = interleaved(
                {
                    kind: partial(seconds, partial(fit, network, data, device))
                    for kind, data in kinds.items()
                },
                ROUNDS,
            )
            alone = took["in memory"]
            for kind in list(kinds)[1:]:
                ratios = [a / b for a, b in zip(took[kind], alone, strict=True)]
                rows.append(
                    [
                        *(name, kind, f"{median(alone):.2f}", f"{median(took[kind]):.2f}"),
                        f"{median(ratios):.2f}",
                    ]
                )
    page = [
        f"{SAMPLES} images of 3x{SIDE}x{SIDE} float32, twice the memory bound; {EPOCHS} epochs in "
        f"batches of 64 on {device}, one thread; medians of "
        f"{ROUNDS} interleaved rounds, and of their ratios. The final weights are equal.",
        table(
            ["network", "streamed from", "in memory, s", "streamed, s", "streamed / in memory"],
            rows,
        ),
        f"To read the samples of the Dataset that are not kept, as often as a training needs them, "
        f"takes {read:.2f} s in a loop of nothing else.",
        f"Loading takes {median(loading['in memory']):.2f} s in memory and "
        f"{median(loading['streamed']):.2f} s streamed.",
    ]
    if QUICK:
        print("\n\n".join(page))
        return
    write("streaming", "Streaming", page)


def _read(data: Data, dataset: File) -> None:
    """Ask a dataset for what a streamed training asks it for."""
    for split, times in ((data.train, EPOCHS), (data.val, EPOCHS + 1), (data.test, 1)):
        assert isinstance(split, Streamed)
        kept = len(split.kept[0]) if split.kept else 0
        for row in split.rows[kept:].tolist() * times:
            dataset[row]


def _check(network: Callable[[], nn.Module], kinds: dict[str, Data], device: str) -> None:
    states = [fit(network, data, device).network.state_dict() for data in kinds.values()]
    for state in states[1:]:
        same = all(torch.equal(state[name], states[0][name]) for name in state)
        assert same or device != "cpu", "streaming changed the weights"


if __name__ == "__main__":
    main()
