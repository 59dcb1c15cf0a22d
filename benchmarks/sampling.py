"""What does dropout as an ensemble cost? `nw.mc_predict` against a loop over forwards.

The loop is what one writes by hand: everything in evaluation mode, dropout in training mode, one
forward per sample. `nw.mc_predict` runs the samples of a pass together, and what comes before the
first dropout once.

    python benchmarks/sampling.py
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from _measuring import interleaved, median, seconds, table, write
from torch import Tensor, nn

import normwise as nw

ROUNDS = 9
SAMPLES = 50


def perceptron() -> nn.Module:
    return nn.Sequential(
        *(nn.Linear(784, 256), nn.BatchNorm1d(256), nn.ReLU(), nn.Dropout(0.2)),
        *(nn.Linear(256, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Dropout(0.2)),
        nn.Linear(128, 10),
    )


def images(late: bool) -> nn.Module:
    """A small convolutional network with dropout behind every block, or before its head only."""
    layers: list[nn.Module] = []
    for before, after in ((3, 16), (16, 32), (32, 64)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] if late else [nn.MaxPool2d(2), nn.Dropout2d(0.1)]
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(64, 10)
    return nn.Sequential(*layers, *head)


def encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(64, 4, 128, dropout=0.1, batch_first=True, norm_first=True)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)


@dataclass(frozen=True)
class Workload:
    name: str
    factory: Callable[[], nn.Module]
    x: Tensor


def workloads() -> list[Workload]:
    torch.manual_seed(0)
    return [
        Workload("perceptron 784-256-128-10, batch 1", perceptron, torch.randn(1, 784)),
        Workload("perceptron 784-256-128-10, batch 64", perceptron, torch.randn(64, 784)),
        Workload("3 convolutions, batch 1", lambda: images(late=False), torch.randn(1, 3, 32, 32)),
        Workload("3 convolutions, batch 8", lambda: images(late=False), torch.randn(8, 3, 32, 32)),
        Workload(
            "3 convolutions, dropout before the head only, batch 8",
            lambda: images(late=True),
            torch.randn(8, 3, 32, 32),
        ),
        Workload("2 transformer blocks, 16 tokens, batch 4", encoder, torch.randn(4, 16, 64)),
    ]


def loop(network: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Predict sample by sample, with batch norm in evaluation mode."""
    network.train()
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
    with torch.no_grad():
        predictions = torch.stack([network(x) for _ in range(SAMPLES)])
    return predictions.mean(0), predictions.std(0)


def measure(work: Workload) -> list[str]:
    torch.manual_seed(1)
    network = work.factory()
    contestants = {
        "loop": lambda: loop(network, work.x),
        "normwise": lambda: nw.mc_predict(network, work.x, samples=SAMPLES),
    }
    for run in contestants.values():
        run()
    figures = interleaved(
        {name: lambda run=run: seconds(run) for name, run in contestants.items()}, ROUNDS
    )
    ratio = median([a / b for a, b in zip(figures["loop"], figures["normwise"], strict=True)])
    milliseconds = [f"{1000 * median(figures[name]):.1f}" for name in contestants]
    return [work.name, *milliseconds, f"{ratio:.1f}x"]


def main() -> None:
    torch.set_num_threads(1)
    intro = (
        f"{SAMPLES} samples of one batch, on one thread; medians of {ROUNDS} interleaved rounds, "
        "all included: the look at what draws random numbers, and the moments."
    )
    header = ["network", "loop, ms", "nw.mc_predict, ms", "faster"]
    write(
        "sampling", "Dropout as an ensemble", [intro, table(header, [*map(measure, workloads())])]
    )


if __name__ == "__main__":
    main()
