"""What does watching a training cost? normwise against no watching, and against four peers.

Ratios of the processor time of the same training, watched over unwatched, side by side in one go,
on four networks with steps of some milliseconds on one thread; processor time, since it depends
little on what else the machine does. It is that of a training under way: the tenth of a second that
normwise may spend at once, beyond its budget, lies before it. normwise is taken with its default
budget, all its rules' evidence included, and measuring every step. The peers do less: each is taken
as its documentation shows it, logging every step.

    python benchmarks/watch.py            # everything
    python benchmarks/watch.py mlp        # one network
"""

import importlib.util
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.metadata import PackageNotFoundError, version
from time import process_time
from typing import Any

import torch
import torch.nn.functional as F
from _measuring import interleaved, median, table, write
from torch import Tensor, nn

import normwise as nw

ROUNDS = 3
SECONDS = 2.5  # of each unwatched training
PEER_STEPS = 10  # of the peers whose steps cost many times as much

Step = Callable[[int], None]
Watching = Callable[[nn.Module, torch.optim.Optimizer], AbstractContextManager[Any]]


def mlp() -> nn.Module:
    return nn.Sequential(
        *(nn.Flatten(), nn.Linear(784, 256), nn.BatchNorm1d(256), nn.ReLU()),
        *(nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10)),
    )


def cnn() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(800, 10)),
    )


class Transformer(nn.Module):
    """Two encoder layers over the 28 rows of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(28, 64)
        layer = nn.TransformerEncoderLayer(64, 4, 128, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(self.embed(x.squeeze(1))).mean(1))


class Lstm(nn.Module):
    """An LSTM over the 28 rows of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(28, 64, batch_first=True)
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x.squeeze(1))[0][:, -1])


NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "mlp": (mlp, 128),
    "cnn": (cnn, 64),
    "transformer": (Transformer, 64),
    "lstm": (Lstm, 64),
}


# --- who watches -------------------------------------------------------------------------------


def default(net: nn.Module, optimizer: torch.optim.Optimizer) -> AbstractContextManager[Any]:
    return nw.watch(net, optimizer)


def every_step(net: nn.Module, optimizer: torch.optim.Optimizer) -> AbstractContextManager[Any]:
    return nw.watch(net, optimizer, every=1)


@contextmanager
def torch_audit(net: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """All its rules, at every step."""
    from torch_audit import autopatch

    with autopatch(net, optimizer=optimizer, every_n_steps=1):
        yield


@contextmanager
def tensorboard(net: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Histograms of all weights and gradients at every step."""
    from torch.utils.tensorboard import SummaryWriter

    with tempfile.TemporaryDirectory() as folder, SummaryWriter(folder) as writer:

        def log(*_: Any) -> None:
            for name, parameter in net.named_parameters():
                writer.add_histogram(name, parameter)
                writer.add_histogram(f"{name}.grad", parameter.grad)

        handle = optimizer.register_step_post_hook(log)
        yield
        handle.remove()


@contextmanager
def wandb(net: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """`wandb.watch` with everything, at every step, offline."""
    import wandb as library

    with tempfile.TemporaryDirectory() as folder:
        run = library.init(mode="offline", dir=folder, settings=library.Settings(silent=True))
        run.watch(net, log="all", log_freq=1)
        handle = optimizer.register_step_post_hook(lambda *_: run.log({}))
        yield
        handle.remove()
        run.unwatch(net)
        run.finish()


@contextmanager
def torchlens(net: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """All activations of each forward pass, in a pass of their own before each step."""
    import torchlens as library

    batch = torch.randn(64, 1, 28, 28)
    handle = optimizer.register_step_pre_hook(lambda *_: library.trace(net, batch) and None)
    yield
    handle.remove()


PEERS: dict[str, tuple[str, Watching, bool]] = {
    "torch-audit": ("torch_audit", torch_audit, False),
    "TensorBoard histograms": ("tensorboard", tensorboard, True),
    "wandb.watch": ("wandb", wandb, True),
    "TorchLens": ("torchlens", torchlens, True),
}


# --- the measurement ---------------------------------------------------------------------------


def training(make: Callable[[], nn.Module], batch: int, watching: Watching, steps: int) -> float:
    """Processor seconds per step, without the beginning and the end of watching."""
    torch.manual_seed(0)
    net = make()
    optimizer = torch.optim.Adam(net.parameters())
    batches = [(torch.randn(batch, 1, 28, 28), torch.randint(0, 10, (batch,))) for _ in range(8)]

    def train(count: int) -> None:
        for index in range(count):
            x, y = batches[index % len(batches)]
            optimizer.zero_grad()
            F.cross_entropy(net(x), y).backward()
            optimizer.step()

    train(10)
    with watching(net, optimizer):
        train(steps // 3)
        began = process_time()
        train(steps)
        return (process_time() - began) / steps


def row(name: str) -> list[str]:
    make, batch = NETWORKS[name]
    nobody: Watching = lambda *_: nullcontext()  # noqa: E731
    steps = max(60, int(SECONDS / training(make, batch, nobody, 60)))
    contestants: dict[str, Callable[[], float]] = {
        "": lambda: training(make, batch, nobody, steps),
        "default": lambda: training(make, batch, default, steps),
        "every=1": lambda: training(make, batch, every_step, steps // 4),
    }
    for peer, (module, watching, slow) in PEERS.items():
        if importlib.util.find_spec(module):
            count = PEER_STEPS if slow else steps // 8
            contestants[peer] = lambda w=watching, c=count: training(make, batch, w, c)
    figures = {who: median(all_) for who, all_ in interleaved(contestants, ROUNDS).items()}
    alone = figures.pop("")
    ratios = {who: f"{took / alone:.2f}x" for who, took in figures.items()}
    shown = ["default", "every=1", *PEERS]
    return [name, f"{alone * 1e3:.2f} ms", *(ratios.get(who, "absent") for who in shown)]


def _named(peer: str) -> str:
    module = PEERS[peer][0]
    try:
        return f"{peer} ({module} {version(module.replace('_', '-'))})"
    except PackageNotFoundError:
        return f"{peer} ({module}, not installed)"


def main() -> None:
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    names = sys.argv[1:] or list(NETWORKS)
    header = ["network", "a step", "`nw.watch`", "`every=1`", *PEERS]
    rows = [row(name) for name in names]
    write(
        "watch",
        "What watching a training costs",
        [
            "Processor time of a training under way, watched over unwatched; medians of "
            f"{ROUNDS} interleaved rounds, one thread. Processes that a peer starts beside it do "
            "not count.",
            table(header, rows),
            f"Peers: {', '.join(map(_named, PEERS))}.",
        ],
    )


if __name__ == "__main__":
    main()
