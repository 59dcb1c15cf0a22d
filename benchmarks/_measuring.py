"""What all benchmarks share: interleaved timing, the machine's peak, and a results page."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

import normwise

RESULTS = Path(__file__).parent / "results"


def interleaved(
    contestants: Mapping[str, Callable[[], float]], rounds: int
) -> dict[str, list[float]]:
    """Let everybody run once per round, so that a slow minute of the machine hits them all.

    Every other round goes backwards: what one leaves in caches and memory meets the next.

    Args:
        contestants: each returns its figure of one run.
        rounds: how often.
    """
    figures: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds):
        for name, contestant in list(contestants.items())[:: -1 if number % 2 else 1]:
            figures[name].append(contestant())
    return figures


def seconds(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def processor_seconds(function: Callable[[], object]) -> float:
    """The time of this process alone, in which other programs on the machine count little."""
    started = time.process_time()
    function()
    return time.process_time() - started


def peak_gflops(size: int = 1024, repetitions: int = 20) -> float:
    """The rate of a large float32 matrix product on all cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(cores())
    a = torch.randn(size, size)
    torch.mm(a, a)
    took = min(seconds(lambda: torch.mm(a, a)) for _ in range(repetitions))
    torch.set_num_threads(before)
    return 2 * size**3 / took / 1e9


def cores() -> int:
    return len(os.sched_getaffinity(0))


def median(figures: Sequence[float]) -> float:
    return statistics.median(figures)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write(name: str, title: str, sections: Sequence[str]) -> None:
    """Print the page and keep it under benchmarks/results."""
    machine = (
        f"Machine: {_processor()}, {cores()} cores, {platform.system()}; Python "
        f"{platform.python_version()}, torch {torch.__version__}, NumPy {np.__version__}, "
        f"normwise {getattr(normwise, '__version__', '0.1.0')}. Written by `benchmarks/{name}.py`."
    )
    page = "\n\n".join([f"# {title}", machine, *sections]) + "\n"
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(page)
    print(page)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
