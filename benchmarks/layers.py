"""What do the layers of normwise.layers cost? Each against torch's nearest, or a public peer.

Forward and backward, one thread, medians of interleaved rounds; below 1 ours is faster. What is
measured is the processor's time, in which other programs on the machine count little.

    python benchmarks/layers.py              # everything
    python benchmarks/layers.py DropBlock2d  # what starts so; printed, while the page stays
"""

import importlib
import itertools
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from _measuring import interleaved, median, table, write
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from normwise import layers

os.environ.setdefault("KERAS_BACKEND", "torch")

ROUNDS, REPETITIONS = 24, 4
IMAGES, TOKENS, VECTORS = (32, 64, 28, 28), (32, 128, 256), (512, 512)

Make = Callable[[], nn.Module]


@dataclass(frozen=True)
class Case:
    """One of our layers, and who does the same or the most similar."""

    ours: str
    make: Make
    peer: str
    make_peer: Make
    shape: tuple[int, ...]


def keras(name: str, *args: float) -> nn.Module:
    return getattr(importlib.import_module("keras").layers, name)(*args)


def torchvision(name: str, *args: float) -> nn.Module:
    return getattr(importlib.import_module("torchvision").ops, name)(*args)


class Training(nn.Module):
    """Calls a Keras layer in its training mode."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x, training=True)


class First(nn.Module):
    """The first output of a recurrent layer."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)[0]


def lstm() -> nn.LSTM:
    return nn.LSTM(256, 64, batch_first=True)


DROPOUTS = [
    Case("Dropout", lambda: layers.Dropout(0.2), "nn.Dropout", lambda: nn.Dropout(0.2), IMAGES),
    Case(
        "Dropout, generator",
        lambda: layers.Dropout(0.2, generator=torch.Generator()),
        "nn.Dropout",
        lambda: nn.Dropout(0.2),
        IMAGES,
    ),
    Case(
        "StochasticDepth",
        lambda: layers.StochasticDepth(0.2),
        "torchvision.ops.StochasticDepth",
        lambda: torchvision("StochasticDepth", 0.2, "row"),
        IMAGES,
    ),
    Case(
        "StochasticDepth",
        lambda: layers.StochasticDepth(0.2),
        "nn.Dropout2d",
        lambda: nn.Dropout2d(0.2),
        IMAGES,
    ),
    Case(
        "DropBlock2d",
        lambda: layers.DropBlock2d(0.1, 7),
        "torchvision.ops.DropBlock2d",
        lambda: torchvision("DropBlock2d", 0.1, 7),
        IMAGES,
    ),
    Case(
        "DropBlock2d",
        lambda: layers.DropBlock2d(0.1, 7),
        "nn.Dropout",
        lambda: nn.Dropout(0.1),
        IMAGES,
    ),
    Case(
        "LockedDropout",
        lambda: layers.LockedDropout(0.2, batch_first=True),
        "nn.Dropout",
        lambda: nn.Dropout(0.2),
        TOKENS,
    ),
    Case(
        "GaussianDropout",
        lambda: layers.GaussianDropout(0.2),
        "keras.layers.GaussianDropout",
        lambda: Training(keras("GaussianDropout", 0.2)),
        TOKENS,
    ),
    Case(
        "GaussianDropout",
        lambda: layers.GaussianDropout(0.2),
        "nn.Dropout",
        lambda: nn.Dropout(0.2),
        TOKENS,
    ),
    Case("Uout", lambda: layers.Uout(0.1), "nn.Dropout", lambda: nn.Dropout(0.1), TOKENS),
    Case(
        "ConcreteDropout",
        lambda: layers.ConcreteDropout(0.1),
        "nn.Dropout",
        lambda: nn.Dropout(0.1),
        TOKENS,
    ),
    Case(
        "drop_connect(Linear)",
        lambda: layers.drop_connect(nn.Linear(512, 512), 0.2),
        "nn.Linear",
        lambda: nn.Linear(512, 512),
        VECTORS,
    ),
    Case(
        "drop_connect(LSTM)",
        lambda: First(layers.drop_connect(lstm(), 0.2)),
        "nn.LSTM",
        lambda: First(lstm()),
        TOKENS,
    ),
]
NORMS = [
    Case(
        "WhitenNorm2d",
        lambda: layers.WhitenNorm2d(64),
        "nn.BatchNorm2d",
        lambda: nn.BatchNorm2d(64),
        IMAGES,
    ),
    Case(
        "WhitenNorm1d, 8 groups",
        lambda: layers.WhitenNorm1d(512, num_groups=8),
        "nn.BatchNorm1d",
        lambda: nn.BatchNorm1d(512),
        VECTORS,
    ),
    Case(
        "FilterResponseNorm",
        lambda: layers.FilterResponseNorm(64),
        "nn.InstanceNorm2d, nn.ReLU",
        lambda: nn.Sequential(nn.InstanceNorm2d(64, affine=True), nn.ReLU()),
        IMAGES,
    ),
    Case(
        "DynamicTanh",
        lambda: layers.DynamicTanh(256),
        "nn.LayerNorm",
        lambda: nn.LayerNorm(256),
        TOKENS,
    ),
    Case(
        "standardize_weight(Conv2d)",
        lambda: layers.standardize_weight(nn.Conv2d(64, 64, 3, padding=1)),
        "weight_norm(nn.Conv2d)",
        lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(64, 64, 3, padding=1)),
        IMAGES,
    ),
]


class Masked(nn.Module):
    """A norm of a padded batch: a third of the positions are padding."""

    def __init__(self, norm: nn.Module, *shape: int) -> None:
        super().__init__()
        self.norm = norm
        self.mask = torch.rand(shape, generator=torch.Generator().manual_seed(0)) > 1 / 3

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x, self.mask)


SEQUENCES, MANY = (32, 128, 512), (8192, 512)


def batch_norm(extra: str, make: Make, shape: tuple[int, ...] = IMAGES) -> Case:
    kind = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d}[len(shape)]
    name = f"{kind.__name__}{extra}"
    return Case(name, make, f"nn.{kind.__name__}", lambda: kind(shape[1]), shape)


BATCH_NORMS = [
    batch_norm("", lambda: layers.BatchNorm2d(64)),
    batch_norm("", lambda: layers.BatchNorm1d(128), SEQUENCES),
    batch_norm("", lambda: layers.BatchNorm1d(512), VECTORS),
    batch_norm(", mask", lambda: Masked(layers.BatchNorm2d(64), 32, 28, 28)),
    batch_norm(", mask", lambda: Masked(layers.BatchNorm1d(128), 32, 512), SEQUENCES),
    batch_norm(", mask", lambda: Masked(layers.BatchNorm1d(512), 512), VECTORS),
    batch_norm(", mask", lambda: Masked(layers.BatchNorm1d(512), 8192), MANY),
    batch_norm(", 4 ghosts", lambda: layers.BatchNorm2d(64, virtual_batch_size=8)),
    batch_norm(", 3 ghosts", lambda: layers.BatchNorm2d(64, virtual_batch_size=11)),
    batch_norm(", 4 ghosts", lambda: layers.BatchNorm1d(128, virtual_batch_size=8), SEQUENCES),
    batch_norm(", 4 ghosts", lambda: layers.BatchNorm1d(512, virtual_batch_size=128), VECTORS),
    batch_norm(", 4 ghosts", lambda: layers.BatchNorm1d(512, virtual_batch_size=2048), MANY),
    batch_norm(", accumulate", lambda: layers.BatchNorm2d(64, accumulate=4)),
    batch_norm(", renorm", lambda: layers.BatchNorm2d(64, r_max=3, d_max=5)),
    Case(
        "BatchNorm1d, mask",
        lambda: Masked(layers.BatchNorm1d(128, eps=1e-3), 32, 512),
        "keras.layers.BatchNormalization, mask",
        lambda: Transposed(keras("BatchNormalization"), 32, 512),
        SEQUENCES,
    ),
]


class Transposed(Masked):
    """The same in Keras, which wants channels last."""

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.mT, training=True, mask=self.mask).mT


def kept_for_backward(make: Make, shape: tuple[int, ...]) -> int:
    """Bytes of distinct memory that the forward keeps, parameters and buffers not counted."""
    torch.manual_seed(0)
    layer, x = make().train(), torch.randn(shape, requires_grad=True)
    own = {t.untyped_storage().data_ptr() for t in [*layer.parameters(), *layer.buffers()]}
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        y = layer(x)  # alive while counted, so that no address is given twice
    return sum(size for place, size in kept.items() if place not in own) * (y is not None)


def peak(make: Make, shape: tuple[int, ...]) -> int:
    """Most bytes alive at once that a forward and a backward have taken, of all that they take."""
    torch.manual_seed(0)
    layer, x = make().train(), torch.randn(shape, requires_grad=True)
    gradient = torch.randn_like(layer(x))
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        layer(x).backward(gradient)
    results = profiler.profiler.kineto_results  # type: ignore[union-attr]
    events = sorted(results.events(), key=lambda event: event.start_ns())
    return max(itertools.accumulate(event.nbytes() for event in events if event.nbytes()))


def memory(title: str, figure: Callable[[Make, tuple[int, ...]], int]) -> str:
    rows = []
    for case in BATCH_NORMS[:-1]:
        sizes = [figure(m, case.shape) for m in (case.make, case.make_peer)]
        shape = " x ".join(map(str, case.shape))
        ratio = f"**{sizes[0] / sizes[1]:.3f}**"
        rows.append([case.ours, shape, case.peer, *(f"{n / 1e3:.1f}" for n in sizes), ratio])
    header = ["ours", "input", "peer", "ours, kB", "peer, kB", "ours / peer"]
    return f"## {title}\n\n{table(header, rows)}"


SECTIONS = {"Batch norm": BATCH_NORMS, "Dropout": DROPOUTS, "Whitening and other norms": NORMS}


def milliseconds(make: Make, shape: tuple[int, ...]) -> Callable[[], float]:
    """A contestant: forward and backward of a layer in training."""
    torch.manual_seed(0)
    layer, x = make().train(), torch.randn(shape, requires_grad=True)
    gradient = torch.randn_like(layer(x))

    def run() -> float:
        layer(x).backward(gradient)
        started = time.process_time()
        for _ in range(REPETITIONS):
            layer(x).backward(gradient)
        return (time.process_time() - started) / REPETITIONS * 1e3

    return run


def row(case: Case) -> list[str]:
    shape = " x ".join(map(str, case.shape))
    try:
        contestants = {
            "ours": milliseconds(case.make, case.shape),
            "peer": milliseconds(case.make_peer, case.shape),
        }
    except ImportError as error:
        return [case.ours, shape, case.peer, "", "", f"{error.name} is not installed"]
    figures = {name: median(all_) for name, all_ in interleaved(contestants, ROUNDS).items()}
    ratio = f"**{figures['ours'] / figures['peer']:.2f}**"
    return [case.ours, shape, case.peer, f"{figures['ours']:.2f}", f"{figures['peer']:.2f}", ratio]


def main() -> None:
    torch.set_num_threads(1)
    header = ["ours", "input", "peer", "ours, ms", "peer, ms", "ours / peer"]
    sections = [
        "Forward and backward in training mode, float32, one thread; processor time, medians of "
        f"{ROUNDS} interleaved rounds."
    ]
    for title, cases in SECTIONS.items():
        chosen = [c for c in cases if not sys.argv[1:] or c.ours.startswith(tuple(sys.argv[1:]))]
        if chosen:
            sections.append(f"## {title}\n\n{table(header, [row(case) for case in chosen])}")
    if sys.argv[1:]:
        print("\n\n".join(sections))
        return
    sections.append(memory("What batch norms keep for the backward pass", kept_for_backward))
    sections.append(memory("The most memory that forward and backward take at once", peak))
    write("layers", "What the layers cost", sections)


if __name__ == "__main__":
    main()
