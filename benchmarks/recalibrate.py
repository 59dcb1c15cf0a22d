"""What do exact statistics of batch norms cost? normwise against fvcore and torch's update_bn.

Milliseconds of one thread's processor time, side by side in one go, and how far each is from the
variance of all values in float64.

    python benchmarks/recalibrate.py
"""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from _measuring import interleaved, median, table, write
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

import normwise as nw

try:
    from fvcore.nn.precise_bn import update_bn_stats
except ImportError:
    update_bn_stats = None

ROUNDS = 21
FEW = 3  # for what takes ten times as long


class Block(nn.Module):
    """A residual block of ResNet-18."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        plain = stride == 1 and before == after
        self.shortcut = (
            nn.Identity()
            if plain
            else nn.Sequential(
                nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        return (y + self.shortcut(x)).relu()


def resnet() -> nn.Module:
    """ResNet-18 for 32 x 32 images, a quarter as wide."""
    layers = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    for before, after, stride in ((16, 16, 1), (16, 32, 2), (32, 64, 2), (64, 128, 2)):
        layers += [Block(before, after, stride), Block(after, after, 1)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10))


def mlp() -> nn.Module:
    layers: list[nn.Module] = []
    for before, after in ((784, 256), (256, 256), (256, 128)):
        layers += [nn.Linear(before, after), nn.BatchNorm1d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(128, 10))


def heads() -> nn.Module:
    """Norms that do not build on each other."""

    class Heads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trunk = nn.Sequential(nn.Linear(784, 256), nn.ReLU())
            self.heads = nn.ModuleList(
                nn.Sequential(nn.Linear(256, 128), nn.BatchNorm1d(128), nn.Linear(128, 10))
                for _ in range(4)
            )

        def forward(self, x: Tensor) -> list[Tensor]:
            x = self.trunk(x)
            return [head(x) for head in self.heads]

    return Heads()


@dataclass(frozen=True)
class Workload:
    name: str
    factory: Callable[[], nn.Module]
    x: Tensor
    batch: int


def workloads() -> list[Workload]:
    torch.manual_seed(0)
    return [
        Workload("ResNet-18, 32 x 32", resnet, torch.randn(256, 3, 32, 32), 64),
        Workload("MLP 784-256-256-128", mlp, torch.randn(20000, 784), 256),
        Workload("four heads, side by side", heads, torch.randn(20000, 784), 256),
    ]


def contestants(work: Workload) -> dict[str, Callable[[nn.Module], object]]:
    batches = list(work.x.split(work.batch))
    found: dict[str, Callable[[nn.Module], object]] = {
        "normwise, exact=False": lambda net: nw.recalibrate(
            net, batches, exact=False, progress=False
        ),
        "normwise": lambda net: nw.recalibrate(net, batches, progress=False),
        "torch swa_utils.update_bn": lambda net: update_bn(batches, net.train()),
    }
    if update_bn_stats is not None:
        found["fvcore update_bn_stats"] = lambda net: update_bn_stats(
            net.train(), batches, len(batches)
        )
    return found


def milliseconds(run: Callable[[], object]) -> float:
    """Processor time, which other users of the machine disturb least."""
    started = time.process_time()
    run()
    return (time.process_time() - started) * 1e3


def measure(work: Workload) -> str:
    torch.manual_seed(1)
    net = work.factory()
    runs = contestants(work)
    for run in runs.values():
        run(net)  # the first call of a kernel takes longer
    timed = {name: lambda run=run: milliseconds(lambda: run(net)) for name, run in runs.items()}
    joint = "normwise, exact=False"
    one_pass = {name: run for name, run in timed.items() if name != "normwise"}
    figures = interleaved(one_pass, ROUNDS)
    exact = interleaved({joint: timed[joint], "normwise": timed["normwise"]}, FEW)
    rows = []
    for name in timed:
        of = exact if name == "normwise" else figures
        ratio = median([a / b for a, b in zip(of[name], of[joint], strict=True)])
        rows.append([name, f"{median(of[name]):.0f}", f"{ratio:.2f}"])
    if update_bn_stats is None:
        rows.append(["fvcore update_bn_stats", "not installed", ""])
    head = f"## {work.name}, {len(work.x)} samples, batch {work.batch}"
    return f"{head}\n\n{table(['', 'ms', 'against exact=False'], rows)}"


def accuracy() -> str:
    """One batch norm on inputs whose statistics are known."""
    torch.manual_seed(0)
    inputs = {
        "mean 1e4, std 1, images": (1e4 + torch.randn(1000, 4, 8, 8), nn.BatchNorm2d(4)),
        "mean 1e4, std 1, features": (1e4 + torch.randn(20000, 4), nn.BatchNorm1d(4)),
        "batches of 4, features": (torch.randn(1002, 4), nn.BatchNorm1d(4)),
        "sorted by size, last batch short": (torch.randn(1002, 4).sort(0)[0], nn.BatchNorm1d(4)),
    }
    rows = []
    for name, (x, norm) in inputs.items():
        axes = [axis for axis in range(x.ndim) if axis != 1]
        truth = x.double().var(axes, correction=0)
        work = Workload(name, nn.Identity, x, 4 if len(x) == 1002 else 100)
        row = [name]
        for run in contestants(work).values():
            net = copy.deepcopy(norm)
            run(net)
            row.append(f"{((net.running_var - truth) / truth).abs().max().item():.1e}")
        rows.append(row)
    header = ["relative error of the variance", *contestants(work)]
    return f"## Variance\n\n{table(header, rows)}"


def main() -> None:
    intro = (
        f"Processor time of one thread, medians of {ROUNDS} interleaved rounds, and of the ratios "
        "within a round. `exact=False` is what the peers do: one pass, norms before a norm use the "
        "statistics of the batch. `normwise` alone is `exact=True`, with one pass for each step of "
        f"norms that build on each other (medians of {FEW} rounds)."
    )
    torch.set_num_threads(1)
    write(
        "recalibrate",
        "Recalibrating batch norms",
        [intro, *map(measure, workloads()), accuracy()],
    )


if __name__ == "__main__":
    main()
