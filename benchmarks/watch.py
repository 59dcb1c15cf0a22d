"""What does watching a training cost? normwise against no watching, and against four peers.

One training goes on, and is watched by each contestant in turn, some tenths of a second each, with
a turn that nobody watches between any two. Shown is the processor time per step in a contestant's
turns, divided by that of the unwatched turns before and after: network, memory and what else the
machine does are the same. The medians over stretches of some turns are shown, also for turns that
nobody watches, which should be 1. It is a training under way: the tenth of a second that normwise
may spend at once, beyond its budget, lies before it. normwise is taken with its default budget, all
its rules' evidence included, and measuring every step. The peers do less: each is taken as its
documentation shows it, logging every step.

    python benchmarks/watch.py            # everything
    python benchmarks/watch.py mlp        # one network; the rows of the others stay
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
from _measuring import RESULTS, median, table, write
from torch import Tensor, nn

import normwise as nw

TURN = 0.25  # seconds that a turn takes unwatched
STRETCH = 4  # turns whose times are added up
STRETCHES = 10
WARM = 1.0  # seconds that normwise watches before its first turn
PEER_TURNS, PEER_STEPS = 3, 10  # of the peers, whose steps mostly cost many times as much

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


PEERS: dict[str, tuple[str, Watching]] = {
    "torch-audit": ("torch_audit", torch_audit),
    "TensorBoard histograms": ("tensorboard", tensorboard),
    "wandb.watch": ("wandb", wandb),
    "TorchLens": ("torchlens", torchlens),
}


OURS = ("itself", "`nw.watch`", "`every=1`")
HEADER = ["network", "a step", *OURS, *PEERS]


# --- the measurement ---------------------------------------------------------------------------


class Training:
    """A training that goes on and on."""

    def __init__(self, network: str) -> None:
        make, batch = NETWORKS[network]
        torch.manual_seed(0)
        self.net = make()
        self.optimizer = torch.optim.Adam(self.net.parameters())
        self._batches = [
            (torch.randn(batch, 1, 28, 28), torch.randint(0, 10, (batch,))) for _ in range(8)
        ]

    def steps(self, count: int) -> float:
        """Train, and return the processor seconds per step."""
        began = process_time()
        for index in range(count):
            x, y = self._batches[index % len(self._batches)]
            self.optimizer.zero_grad()
            F.cross_entropy(self.net(x), y).backward()
            self.optimizer.step()
        return (process_time() - began) / count


def row(network: str) -> list[str]:
    training = Training(network)
    training.steps(20)
    steps = max(2, round(TURN / training.steps(20)))
    alone, ratios = ours(training, steps)
    for peer, (module, watching) in PEERS.items():
        if importlib.util.find_spec(module):
            ratios[peer] = theirs(training, watching, steps)
    shown = (f"{ratios[who]:.2f}x" if who in ratios else "absent" for who in (*OURS, *PEERS))
    return [network, f"{alone * 1e3:.2f} ms", *shown]


def ours(training: Training, steps: int) -> tuple[float, dict[str, float]]:
    """Return what a step takes unwatched, and how many times as much with normwise."""
    net, optimizer = training.net, training.optimizer
    watched = (nullcontext(), nw.watch(net, optimizer), nw.watch(net, optimizer, every=1))
    contestants = dict(zip(OURS, watched, strict=True))
    for watching in watched:
        with watching:
            training.steps(round(WARM / TURN) * steps)
    stretches: list[dict[str, tuple[float, float]]] = []
    for _ in range(STRETCHES):
        took = dict.fromkeys(OURS, (0.0, 0.0))
        for turn in range(STRETCH):
            before = training.steps(steps)
            for who in OURS if turn % 2 else OURS[::-1]:
                with contestants[who]:
                    training.steps(1)  # of which the first sets hooks again
                    watched_ = training.steps(steps)
                after = training.steps(steps)
                took[who] = took[who][0] + watched_, took[who][1] + (before + after) / 2
                before = after
        stretches.append(took)
    alone = median([took["itself"][1] for took in stretches]) / STRETCH
    return alone, {who: median([took[who][0] / took[who][1] for took in stretches]) for who in OURS}


def theirs(training: Training, watching: Watching, steps: int) -> float:
    """Return how many times as much a step takes with a peer."""
    ratios = []
    for _ in range(PEER_TURNS):
        before = training.steps(steps)
        with watching(training.net, training.optimizer):
            training.steps(2)
            watched = training.steps(PEER_STEPS)
        ratios.append(2 * watched / (before + training.steps(steps)))
    return median(ratios)


def _named(peer: str) -> str:
    module = PEERS[peer][0]
    try:
        return f"{peer} ({module} {version(module.replace('_', '-'))})"
    except PackageNotFoundError:
        return f"{peer} ({module}, not installed)"


def earlier() -> dict[str, list[str]]:
    """The rows of the last results, for the networks that are not measured this time."""
    page = RESULTS / "watch.md"
    lines = page.read_text().splitlines() if page.exists() else []
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: row for row in cells if row[0] in NETWORKS and len(row) == len(HEADER)}


def main() -> None:
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    rows = earlier()
    for network in sys.argv[1:] or NETWORKS:
        rows[network] = row(network)
    write(
        "watch",
        "What watching a training costs",
        [
            "Processor time per step of a training under way, watched in turns, divided by that of "
            f"the unwatched turns before and after: medians of {STRETCHES} stretches of {STRETCH} "
            f"turns of about {TURN} s, of the peers {PEER_TURNS} turns of {PEER_STEPS} steps; one "
            "thread. *itself* is a turn that nobody watches: its distance from 1 shows the error. "
            "Processes that a peer starts beside it do not count.",
            table(HEADER, [rows[network] for network in NETWORKS if network in rows]),
            f"Peers: {', '.join(map(_named, PEERS))}.",
        ],
    )


if __name__ == "__main__":
    main()
