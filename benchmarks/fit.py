"""What does a step of `nw.fit` cost beside a plain loop that is tuned as far as torch allows?

The loop keeps its data as tensors, gathers every batch into the same memory, and uses torch's fused
optimizer. A training's start and its evaluations are taken off: of each contestant two trainings
are timed, one some epochs longer than the other, and the difference is divided by the steps. What
is measured is the processor's time of one thread.

    python benchmarks/fit.py            # digits; with NORMWISE_DATA set, MNIST as well
"""

import os
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from _measuring import interleaved, median, processor_seconds, table, write
from torch import nn

import normwise as nw
from normwise.data import Data

ROUNDS = 7
BATCH = 64
THREADS = 1


def mlp(inputs: int) -> nn.Module:
    return nn.Sequential(
        *(nn.Flatten(), nn.Linear(inputs, 48), nn.BatchNorm1d(48), nn.ReLU()),
        *(nn.Linear(48, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Linear(24, 10)),
    )


def cnn(side: int) -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(32 * (side // 4) ** 2, 10)),
    )


OPTIMIZERS: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any]]] = {
    "sgd": (torch.optim.SGD, {"lr": 0.01}),
    "adamw": (torch.optim.AdamW, {"lr": 0.001}),
}


def plain(data: Data, network: nn.Module, optimizer: str, epochs: int) -> None:
    kind, options = OPTIMIZERS[optimizer]
    update = kind(network.parameters(), fused=True, **options)  # type: ignore[call-arg]
    x, y = data.train.single, data.train.y
    steps = len(x) // BATCH
    batch_x, batch_y = x.new_empty(BATCH, *x.shape[1:]), y.new_empty(BATCH)  # type: ignore
    network.train()
    for _ in range(epochs):
        for rows in torch.randperm(len(x))[: steps * BATCH].view(steps, BATCH):
            torch.index_select(x, 0, rows, out=batch_x)
            torch.index_select(y, 0, rows, out=batch_y)  # type: ignore[arg-type]
            loss = F.cross_entropy(network(batch_x), batch_y)
            update.zero_grad()
            loss.backward()
            update.step()


def ours(data: Data, network: nn.Module, optimizer: str, epochs: int) -> None:
    lr = OPTIMIZERS[optimizer][1]["lr"]
    steps = epochs * (len(data.train) // BATCH)
    nw.fit(
        *(network, data), epochs=epochs, batch_size=BATCH, lr=lr, optimizer=optimizer,
        evaluate_every=steps, device="cpu", progress=False,
    )  # fmt: skip


Training = Callable[[Data, nn.Module, str, int], None]


def per_step(
    train: Training, data: Data, make: Callable[[], nn.Module], optimizer: str, epochs: int
) -> Callable[[], float]:
    """Milliseconds of a step: what `epochs` epochs more take."""

    def measure() -> float:
        short = processor_seconds(lambda: train(data, make(), optimizer, 1))
        long = processor_seconds(lambda: train(data, make(), optimizer, 1 + epochs))
        return (long - short) * 1e3 / (epochs * (len(data.train) // BATCH))

    return measure


def main() -> None:
    torch.set_num_threads(THREADS)
    cases = [("digits", 64, 8, 40)]
    if os.environ.get("NORMWISE_DATA"):
        cases.append(("mnist", 784, 28, 1))
    rows = []
    for name, inputs, side, epochs in cases:
        data = nw.data.load(name)
        networks = {"MLP": lambda n=inputs: mlp(n)}
        if name == "digits":  # a step on larger images takes so long that nothing else shows
            networks["CNN"] = lambda s=side: cnn(s)
        for network, make in networks.items():
            for optimizer in OPTIMIZERS:
                figures = interleaved(
                    {
                        "plain": per_step(plain, data, make, optimizer, epochs),
                        "fit": per_step(ours, data, make, optimizer, epochs),
                    },
                    ROUNDS,
                )
                loop, fit = median(figures["plain"]), median(figures["fit"])
                pairs = zip(figures["fit"], figures["plain"], strict=True)
                ratio = median([a / b for a, b in pairs])
                rows.append(
                    [f"{network}, {name}, {optimizer}", f"{loop:.3f}", f"{fit:.3f}", f"{ratio:.2f}"]
                )
    header = ["network, data, optimizer", "plain loop, ms", "nw.fit, ms", "ratio"]
    note = f"Processor time in ms of a step of {BATCH} samples; medians of interleaved "
    write(
        "fit",
        "A step of fit",
        [note + "rounds, the ratio as the median of pairs.", table(header, rows)],
    )


if __name__ == "__main__":
    main()
