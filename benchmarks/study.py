"""What does a study cost beside its training steps, and how does its memory grow?

The share of a study's time that is not spent in steps and their batches (planning, evaluation,
snapshots for the report, records), in one process, on a study of half a minute or more; and the
most memory that a stack of so many runs takes, in a process of its own.

    python benchmarks/study.py
"""

import multiprocessing
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

import psutil
import torch
from _measuring import median, seconds, table, write
from torch import Tensor, nn

import normwise as nw
from normwise.data import Split
from normwise.stack import Objective, Recipe, Stacked
from normwise.stack.feeding import Resident
from normwise.stack.loop import _Training
from normwise.stack.protocol import Stack

ROUNDS = 3
RUNS = (1, 2, 4, 8, 16, 32, 64)


def mlp() -> nn.Module:
    return nn.Sequential(
        *(nn.Flatten(), nn.Linear(784, 48), nn.BatchNorm1d(48), nn.ReLU()),
        *(nn.Linear(48, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Linear(24, 10)),
    )


@contextmanager
def timed_steps(spent: list[float]) -> Iterator[None]:
    """Add up the seconds that steps take, each with its batch."""
    batches = Resident.batches

    def timed(self: Resident, rows: Iterable[Tensor], samples: int) -> Iterator[Split]:
        before = time.perf_counter()
        for batch in batches(self, rows, samples):
            yield batch
            # The step is done when the next batch is asked for; evaluations are taken off.
            spent[0] += time.perf_counter() - before
            before = time.perf_counter()

    look = _Training.look

    def looked(self: _Training, step: int) -> None:
        before = time.perf_counter()
        look(self, step)
        spent[0] -= time.perf_counter() - before if step else 0.0

    with patch.object(Resident, "batches", timed), patch.object(_Training, "look", looked):
        yield


def overhead(data: nw.data.Data) -> tuple[float, float]:
    """Return the seconds of a study, and the share of them that is no training."""
    spent = [0.0]

    def run() -> None:
        nw.compare(
            mlp, data, ["plain", "lr=10x"], seeds=20, epochs=8, workers=1, stack=40, progress=False
        )

    with timed_steps(spent):
        took = seconds(run)
    return took, took / spent[0] - 1


def memory(runs: int, pipe: "multiprocessing.connection.Connection") -> None:
    """Send the megabytes that a stack of so many runs adds while it trains."""
    torch.set_num_threads(1)
    data = nw.data.Split(torch.rand(64, 784), torch.randint(0, 10, (64,)))
    process = psutil.Process(os.getpid())
    before = process.memory_info().rss
    networks = [mlp() for _ in range(runs)]
    stack: Stack = Stacked(networks, [Recipe()] * runs, Objective("classes"), range(runs), data)
    x, y = (t.expand(runs, *t.shape).contiguous() for t in (data.x, data.y))
    most = 0
    for _ in range(20):
        stack.step(x, y)
        most = max(most, process.memory_info().rss - before)
    assert isinstance(stack, Stacked)
    pipe.send((most / 2**20, stack.memory / 2**20))


def growth() -> str:
    """Return the table of memory by runs, each measured in a fresh process."""
    rows = []
    for runs in RUNS:
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("fork").Process(target=memory, args=(runs, theirs))
        process.start()
        taken, estimated = ours.recv()
        process.join()
        rows.append([str(runs), f"{taken:.0f}", f"{taken / runs:.1f}", f"{estimated:.0f}"])
    return table(["runs in a stack", "MB taken", "MB per run", "MB the planner counts with"], rows)


def main() -> None:
    grown = growth()  # first, while this process is small
    whole = nw.data.load("mnist")
    torch.set_num_threads(1)
    measured = [overhead(whole) for _ in range(ROUNDS)]
    took, share = (median([each[i] for each in measured]) for i in range(2))
    told = (
        f"A study of 40 runs of an MLP on MNIST in one process took {took:.0f} s (median of "
        f"{ROUNDS}); planning, evaluation, snapshots and records added **{share:.1%}** to its "
        "training steps."
    )
    print(told, grown, sep="\n\n")
    write("study", "What a study costs beside its steps", [told, "## Memory", grown])


if __name__ == "__main__":
    main()
