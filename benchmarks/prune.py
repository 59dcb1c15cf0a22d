"""What does removing half of the units give? `nw.prune` against torch's masks and torch-pruning.

`torch.nn.utils.prune` zeroes units and keeps their shapes. torch-pruning removes them, as
`nw.prune` does, which also runs both networks and compares them before anything is changed. What
is left is timed in evaluation.

    python benchmarks/prune.py
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from _measuring import interleaved, median, seconds, table, write
from recalibrate import mlp, resnet
from torch import Tensor, nn
from torch.nn.utils import prune as masks

import normwise as nw

try:
    import torch_pruning
except ImportError:
    torch_pruning = None

ROUNDS = 41
AMOUNT = 0.5
Pruner = Callable[[nn.Module, Tensor], nn.Module]


class Inverted(nn.Module):
    """An inverted residual block of MobileNetV2, whose middle is a depthwise convolution."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        middle = 4 * before
        self.sum = stride == 1 and before == after
        self.layers = nn.Sequential(
            *(nn.Conv2d(before, middle, 1, bias=False), nn.BatchNorm2d(middle), nn.ReLU6()),
            nn.Conv2d(middle, middle, 3, stride, 1, groups=middle, bias=False),
            *(nn.BatchNorm2d(middle), nn.ReLU6()),
            *(nn.Conv2d(middle, after, 1, bias=False), nn.BatchNorm2d(after)),
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.layers(x)
        return x + y if self.sum else y


def mobilenet() -> nn.Module:
    blocks = [Inverted(16, 16, 1), Inverted(16, 24, 2), Inverted(24, 24, 1), Inverted(24, 32, 2)]
    return nn.Sequential(
        *(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU6()),
        *blocks,
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)),
    )


def by_normwise(network: nn.Module, x: Tensor) -> nn.Module:
    return nw.prune(network, x, AMOUNT)


def by_masks(network: nn.Module, x: Tensor) -> nn.Module:  # noqa: ARG001
    layers = [m for m in network.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    for layer in layers[:-1]:  # the last gives the outputs
        masks.ln_structured(layer, "weight", AMOUNT, n=1, dim=0)
        masks.remove(layer, "weight")
    return network


def by_torch_pruning(network: nn.Module, x: Tensor) -> nn.Module:
    head = [m for m in network.modules() if isinstance(m, nn.Linear)][-1:]
    importance = torch_pruning.importance.MagnitudeImportance(p=1)
    torch_pruning.pruner.MagnitudePruner(
        network, x, importance=importance, pruning_ratio=AMOUNT, ignored_layers=head
    ).step()
    return network


@dataclass(frozen=True)
class Workload:
    name: str
    factory: Callable[[], nn.Module]
    x: Tensor


def workloads() -> list[Workload]:
    torch.manual_seed(0)
    return [
        Workload("MLP 784-256-256-128-10, batch 64", mlp, torch.randn(64, 784)),
        Workload("ResNet-18, 32 x 32, batch 8", resnet, torch.randn(8, 3, 32, 32)),
        Workload("MobileNet-like, 32 x 32, batch 8", mobilenet, torch.randn(8, 3, 32, 32)),
    ]


def measure(work: Workload) -> str:
    torch.manual_seed(1)
    network = work.factory()
    pruners: dict[str, Pruner] = {
        "nw.prune": by_normwise,
        "torch.nn.utils.prune, masks": by_masks,
    }
    if torch_pruning is not None:
        pruners["torch-pruning"] = by_torch_pruning
    taken = interleaved(
        {
            name: lambda prune=prune: seconds(lambda: prune(copy.deepcopy(network), work.x))
            for name, prune in pruners.items()
        },
        3,
    )
    pruned = {name: prune(copy.deepcopy(network), work.x) for name, prune in pruners.items()}
    times = interleaved(
        {
            name: lambda net=net: evaluation(net, work.x)
            for name, net in {"the whole network": network, **pruned}.items()
        },
        ROUNDS,
    )
    whole = times["the whole network"]
    rows = [["the whole network", "", f"{size(network):,}", f"{1000 * median(whole):.2f}", ""]]
    for name, net in pruned.items():
        faster = median([a / b for a, b in zip(whole, times[name], strict=True)])
        took = f"{1000 * median(taken[name]):.0f}"
        evaluating = f"{1000 * median(times[name]):.2f}"
        rows.append([name, took, f"{size(net):,}", evaluating, f"{faster:.2f}x"])
    header = ["", "pruning, ms", "parameters", "evaluation, ms", "faster"]
    absent = "" if torch_pruning else "\n\ntorch-pruning is not installed."
    return f"## {work.name}\n\n{table(header, rows)}{absent}"


def evaluation(network: nn.Module, x: Tensor) -> float:
    network.eval()
    with torch.no_grad():
        return min(seconds(lambda: network(x)) for _ in range(5))


def size(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def main() -> None:
    torch.set_num_threads(1)
    intro = (
        f"Half of the units of every layer but the last goes, by magnitude, on one thread; medians "
        f"of {ROUNDS} interleaved rounds (of 3 for the pruning itself)."
    )
    write("prune", "Removing units", [intro, *map(measure, workloads())])


if __name__ == "__main__":
    main()
