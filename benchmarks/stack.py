"""What does training many runs cost? normwise against loops, processes, vmap and stacks by hand.

Milliseconds per run and step on the whole machine, side by side in one go. Every peer is taken at
its better number of threads. The figure of normwise is all that `nw.compare` takes (planning, data
order, evaluation, snapshots for the report), divided by runs and steps.

    python benchmarks/stack.py            # everything
    python benchmarks/stack.py mlp-64     # one workload
"""

import multiprocessing
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from _measuring import RESULTS, cores, interleaved, median, peak_gflops, seconds, table, write
from PIL import Image
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, stack_module_state, vmap
from torch.utils.data import DataLoader, Dataset

import normwise as nw

LR = 0.01
ROUNDS = 3


def mlp() -> nn.Module:
    return nn.Sequential(
        *(nn.Flatten(), nn.Linear(784, 48), nn.BatchNorm1d(48), nn.ReLU()),
        *(nn.Linear(48, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Linear(24, 10)),
    )


def cnn() -> nn.Module:
    """conv5(3)-pool-conv3(6)-BN-pool-fc25-fc10."""
    return nn.Sequential(
        *(nn.Conv2d(1, 3, 5), nn.MaxPool2d(2), nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6)),
        *(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(150, 25), nn.ReLU(), nn.Linear(25, 10)),
    )


def wide_cnn() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(16, 32, 3)),
        *(nn.BatchNorm2d(32), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten()),
        *(nn.Linear(800, 25), nn.ReLU(), nn.Linear(25, 10)),
    )


class Transformer(nn.Module):
    """Two encoder layers over the 28 rows of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(28, 32)
        layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(self.embed(x.squeeze(1))).mean(1))


class Lstm(nn.Module):
    """An LSTM over the 28 rows of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(28, 32, batch_first=True)
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x.squeeze(1))[0][:, -1])


@dataclass(frozen=True)
class Workload:
    name: str
    factory: Callable[[], nn.Module]
    batch: int
    seeds: int
    samples: int  # of the training split, with a tenth to validate and a fifth to test
    epochs: int
    peers: str  # letters of those that take part
    variants: tuple[str, ...] = ("plain",)

    @property
    def runs(self) -> int:
        return self.seeds * len(self.variants)


RATES = ("plain", "lr=0.3x", "lr=3x", "lr=10x", "lr=30x")

WORKLOADS = [
    Workload("mlp-64", mlp, 64, 50, 40_000, 4, "abcde"),
    Workload("mlp-64-rates", mlp, 64, 10, 40_000, 4, "abcde", RATES),
    Workload("mlp-64-few", mlp, 64, 8, 40_000, 8, "bcde"),
    Workload("mlp-512", mlp, 512, 50, 40_000, 4, "bcde"),
    Workload("mlp-512-rates", mlp, 512, 10, 40_000, 4, "bcde", RATES),
    Workload("mlp-512-few", mlp, 512, 8, 40_000, 8, "bcde"),
    Workload("cnn", cnn, 64, 16, 10_000, 2, "bcd"),
    Workload("wide-cnn", wide_cnn, 64, 16, 2_560, 2, "bc"),
    Workload("transformer", Transformer, 64, 8, 2_560, 3, "bc"),
    Workload("lstm", Lstm, 64, 8, 2_560, 3, "bc"),
]


# --- the peers: each returns milliseconds per run and step ------------------------------------


class Pictures(Dataset):
    """What a lecture starts from: PIL images, turned into tensors one by one."""

    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.pixels = (x[:, 0].numpy() * 255).clip(0, 255).astype(np.uint8)
        self.labels = y.tolist()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = Image.fromarray(self.pixels[index])
        tensor = torch.from_numpy(np.array(image, copy=True))[None].float().div(255)
        return tensor, self.labels[index]


def lecture(work: Workload, x: Tensor, y: Tensor, steps: int) -> float:
    """(a) PIL, a transform per sample, DataLoader, a loop per model."""
    loader = DataLoader(Pictures(x[:8192], y[:8192]), work.batch, shuffle=True, drop_last=True)
    net = work.factory().train()
    optimizer = torch.optim.SGD(net.parameters(), LR)

    def train() -> None:
        for _, (images, labels) in zip(range(steps), loader, strict=False):
            optimizer.zero_grad()
            F.cross_entropy(net(images), labels).backward()
            optimizer.step()

    return seconds(train) / steps * 1e3


def loop(work: Workload, x: Tensor, y: Tensor, steps: int) -> float:
    """(b) A loop over tensors in memory, torch's fused optimizer."""
    net = work.factory().train()
    optimizer = torch.optim.SGD(net.parameters(), LR, fused=True)
    order = torch.randperm(len(x))[: len(x) // work.batch * work.batch].view(-1, work.batch)

    def train() -> None:
        for step in range(steps):
            batch = order[step % len(order)]
            loss = F.cross_entropy(net(x.index_select(0, batch)), y.index_select(0, batch))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return seconds(train) / steps * 1e3


def _loop_in_child(arguments: tuple) -> float:
    torch.set_num_threads(1)
    return loop(*arguments)


def processes(work: Workload, x: Tensor, y: Tensor, steps: int) -> float:
    """(c) The same loop in as many processes as cores."""
    with multiprocessing.get_context("fork").Pool(cores()) as pool:
        each = pool.map(_loop_in_child, [(work, x, y, steps)] * cores())
    return float(np.mean(each)) / cores()


def _batches(work: Workload, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Every seed's batch, for all variants of it."""
    rows = torch.randint(0, len(x), (work.seeds, work.batch)).repeat(len(work.variants), 1)
    picked = x.index_select(0, rows.flatten()), y.index_select(0, rows.flatten())
    return tuple(t.unflatten(0, rows.shape) for t in picked)  # type: ignore[return-value]


def functorch(work: Workload, x: Tensor, y: Tensor, steps: int) -> float:
    """(d) torch.func: stack_module_state, vmap(grad), SGD by foreach."""
    nets = [work.factory().train() for _ in range(work.runs)]
    weights, buffers = stack_module_state(nets)
    weights = {name: weight.detach() for name, weight in weights.items()}

    def loss(weights: dict, buffers: dict, x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(nets[0], (weights, buffers), (x,)), y)

    gradient = vmap(grad_and_value(loss), randomness="different")

    def train() -> None:
        for _ in range(steps):
            grads, _ = gradient(weights, buffers, *_batches(work, x, y))
            torch._foreach_add_(list(weights.values()), list(grads.values()), alpha=-LR)

    return seconds(train) / steps / work.runs * 1e3


def by_hand(work: Workload, x: Tensor, y: Tensor, steps: int) -> float:
    """(e) The MLP written out for many runs: baddbmm, autograd, SGD by foreach."""
    runs, sizes = work.runs, [784, 48, 24, 10]
    layers = []
    for inputs, outputs in pairwise(sizes):
        bound = inputs**-0.5
        weight = torch.empty(runs, inputs, outputs).uniform_(-bound, bound)
        layers.append([weight, torch.zeros(runs, 1, outputs)])
    norms = [[torch.ones(runs, 1, n), torch.zeros(runs, 1, n)] for n in sizes[1:-1]]
    running = [[torch.zeros(runs, 1, n), torch.ones(runs, 1, n)] for n in sizes[1:-1]]
    weights = [tensor.requires_grad_() for pair in [*layers, *norms] for tensor in pair]

    def forward(h: Tensor) -> Tensor:
        for (weight, bias), (gamma, beta), (mean, var) in zip(layers, norms, running, strict=False):
            h = torch.baddbmm(bias, h, weight)
            batch_var, batch_mean = torch.var_mean(h, 1, correction=0, keepdim=True)
            with torch.no_grad():
                mean.lerp_(batch_mean, 0.1)
                var.lerp_(batch_var, 0.1)
            h = ((h - batch_mean) * (batch_var + 1e-5).rsqrt() * gamma + beta).relu()
        return torch.baddbmm(layers[-1][1], h, layers[-1][0])

    def train() -> None:
        for _ in range(steps):
            images, labels = _batches(work, x, y)
            logits = forward(images.flatten(2))
            loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten()) * runs
            grads = torch.autograd.grad(loss, weights)
            with torch.no_grad():
                torch._foreach_add_(weights, grads, alpha=-LR)

    return seconds(train) / steps / runs * 1e3


def normwise(work: Workload, data: nw.data.Data) -> float:
    """(f) The public API, all included, per run and step."""
    study = None

    def run() -> None:
        nonlocal study
        study = nw.compare(
            work.factory,
            data,
            list(work.variants),
            seeds=work.seeds,
            epochs=work.epochs,
            batch_size=work.batch,
            lr=LR,
            progress=False,
        )

    took = seconds(run)
    assert study is not None
    steps = study.frame()["steps"].sum()
    PLANS[work.name] = "; ".join(f"{row.how}: {row.reason}" for row in study.plan.itertuples())
    return took / steps * 1e3


PLANS: dict[str, str] = {}

PEERS = {
    "a": ("the lecture's pipeline: PIL, ToTensor per sample, DataLoader", lecture, 40),
    "b": ("a loop over tensors", loop, 200),
    "c": ("that loop in a process per core", processes, 200),
    "d": ("torch.func: vmap over stacked modules", functorch, 8),
    "e": ("written by hand with baddbmm", by_hand, 8),
}


def with_threads(count: int, function: Callable[[], float]) -> Callable[[], float]:
    def run() -> float:
        before = torch.get_num_threads()
        torch.set_num_threads(count)
        try:
            return function()
        finally:
            torch.set_num_threads(before)

    return run


def cut(split: nw.data.Split, size: int) -> nw.data.Split:
    return nw.data.Split(split.x[:size], split.y[:size])


def measure(work: Workload, whole: nw.data.Data) -> str:
    """Return the section of a workload."""
    sizes = {"train": work.samples, "val": work.samples // 10, "test": work.samples // 5}
    splits = {name: cut(getattr(whole, name), size) for name, size in sizes.items()}
    data = nw.data.Data("mnist", **splits, task=whole.task, classes=whole.classes)
    train = data.train
    slow = work.factory not in (mlp,)
    contestants: dict[str, Callable[[], float]] = {}
    for letter in work.peers:
        _, peer, steps = PEERS[letter]
        steps = max(3, steps // 4) if slow else steps
        for threads in (1,) if letter == "c" else (1, cores()):
            job = lambda peer=peer, steps=steps: peer(work, train.x, train.y, steps)  # noqa: E731
            contestants[f"{letter}{threads}"] = with_threads(threads, job)
    contestants["f"] = lambda: normwise(work, data)
    figures = {name: median(all_) for name, all_ in interleaved(contestants, ROUNDS).items()}
    ours = figures.pop("f")
    rows = []
    for letter in work.peers:
        mine = {name: figure for name, figure in figures.items() if name[0] == letter}
        best = min(mine, key=lambda name: mine[name])
        threads = f"{cores()} × 1" if letter == "c" else best[1:]
        ratio = f"**{mine[best] / ours:.1f}x**"
        rows.append([f"({letter}) {PEERS[letter][0]}", threads, f"{mine[best]:.3f}", ratio])
    rows.append(["(f) `nw.compare`, all included", "its own plan", f"{ours:.3f}", ""])
    variants = f" ({len(work.variants)} learning rates)" if len(work.variants) > 1 else ""
    head = f"## {work.name}: {work.runs} runs{variants}, batch {work.batch}"
    body = table(["peer", "threads", "ms per run and step", "normwise is"], rows)
    return f"{head}\n\n{body}{_share(work, ours)}\n\nPlan: {PLANS[work.name]}."


def _share(work: Workload, ms: float) -> str:
    """The share of the machine's matrix-product peak, for the MLP, whose products are counted."""
    if work.factory is not mlp:
        return ""
    products = 3 * (784 * 48 + 48 * 24 + 24 * 10) - 784 * 48
    gflops = 2 * work.batch * products / (ms * 1e-3) / 1e9
    peak = peak_gflops()
    return f"\n\nThat is {gflops:.0f} GFLOP/s, {gflops / peak:.0%} of the peak of {peak:.0f}."


def main() -> None:
    chosen = [work for work in WORKLOADS if not sys.argv[1:] or work.name in sys.argv[1:]]
    whole = nw.data.load("mnist")
    sections = earlier()
    for work in chosen:
        sections[work.name] = measure(work, whole)
        print(sections[work.name], flush=True)
    intro = (
        "Milliseconds per run and step on the whole machine, medians of "
        f"{ROUNDS} interleaved rounds on MNIST; each peer at its better number of threads."
    )
    measured = [sections[work.name] for work in WORKLOADS if work.name in sections]
    write("stack", "Training many runs", [intro, *measured])


def earlier() -> dict[str, str]:
    """The sections of the last results, for the workloads that are not measured this time."""
    page = RESULTS / "stack.md"
    parts = page.read_text().split("\n## ")[1:] if page.exists() else []
    return {part.partition(":")[0]: f"## {part.strip()}" for part in parts}


if __name__ == "__main__":
    main()
