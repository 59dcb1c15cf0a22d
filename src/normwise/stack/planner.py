"""Decides how the runs of a study are trained: how many in a stack, in how many processes."""

import itertools
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import joblib
import psutil
import torch
from torch import nn

from normwise.data import Data, Streamed
from normwise.stack.alone import Alone
from normwise.stack.budget import Budget
from normwise.stack.executor import Processes
from normwise.stack.objective import Goal
from normwise.stack.protocol import Stack
from normwise.stack.recipes import Recipe
from normwise.stack.recording import NotStackable
from normwise.stack.stacked import Stacked, repeat

_TRIAL_SHARE = 0.15  # of the plain loop's time is what a trial may take
_WORTH_A_WORKER = 0.5  # seconds that all runs must take, for a second process to pay
_LARGEST = 64  # runs in a stack: by then the overhead of a step is shared by many
_SMALLER = (16, 4)  # sizes to try where a large stack is slower than the loop
_GAIN = 0.95  # a stack is used where it takes at most this share of the loop's time
_MEMORY_SHARE = 0.5  # of what is free, for all workers together
_TRIAL_STEPS = (3, 5, 40)  # steps of a trial: to warm up, at least, at most
_TRIAL_SECONDS = 0.1
_RECORDING = (100, 0.3)  # it takes as long as so many steps of a run, and seconds, at most
_STREAMED = "the samples are streamed, and every run takes them in its own order"


@dataclass(frozen=True)
class Run:
    """One run, before it is trained.

    Attributes:
        build: makes its network, with its initial weights.
        recipe: its optimizer.
        seed: fixes its batches, how they are augmented, and its dropout masks.
        architecture: equal for runs whose networks may be stacked.

    Example:
        >>> run = Run(lambda: nn.Linear(4, 2), Recipe(lr=0.1), seed=0, architecture="linear")
        >>> run.build()
        Linear(in_features=4, out_features=2, bias=True)
    """

    build: Callable[[], nn.Module]
    recipe: Recipe
    seed: int
    architecture: Any


@dataclass(frozen=True)
class Share:
    """Runs that are trained together.

    Attributes:
        runs: their positions among all runs.
        stacked: as one program, or each alone in the plain loop, one after another.
        reason: why so, with the measured times.

    Example:
        >>> Share((0, 2), True, "asked for").runs
        (0, 2)
    """

    runs: tuple[int, ...]
    stacked: bool
    reason: str


class Planner:
    """Plans the runs of one study.

    Args:
        data: on the device where they train.
        objective: of all runs.
        budget: of all runs.
        workers: processes to use, or None to decide.
        stack: runs in a stack, 1 for the plain loop, or None to decide.

    Example:
        >>> from normwise.data import load
        >>> from normwise.stack import Objective
        >>> planner = Planner(load("digits"), Objective("classes"), Budget(10, 32, 5), stack=2)
        >>> def build():
        ...     return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        >>> runs = [Run(build, Recipe(), seed, "linear") for seed in range(4)]
        >>> workers, shares = planner.plan(runs)
        >>> [share.runs for share in shares]
        [(0, 1), (2, 3)]
    """

    def __init__(
        self,
        data: Data,
        objective: Goal,
        budget: Budget,
        workers: int | None = None,
        stack: int | None = None,
    ) -> None:
        self._data, self._objective, self._budget = data, objective, budget
        self._asked_workers, self._asked_stack = workers, stack
        self._example = data.train[: budget.batch_size]

    def plan(self, runs: Sequence[Run]) -> tuple[int, list[Share]]:
        """Return the number of workers, and the shares: large ones first, then by run.

        Runs of one architecture and kind of recipe form a group. Small groups take the plain loop.
        For the others a few steps of the loop and of a stack are timed, and the faster is taken.
        Where samples are streamed, every run trains alone, in one process.
        """
        if isinstance(self._data.train, Streamed):
            return 1, _loops(range(len(runs)), _STREAMED)
        groups = _groups(runs)
        if not groups:
            return 1, []
        loop_ms = [self._loop_ms(runs[group[0]]) for group in groups]
        seconds = [
            ms * 1e-3 * self._budget.steps * len(group)
            for ms, group in zip(loop_ms, groups, strict=True)
        ]
        workers = self._workers(sum(seconds), len(runs))
        shares: list[Share] = []
        whole = len(groups) - len(groups) % workers
        for position, (group, ms, took) in enumerate(zip(groups, loop_ms, seconds, strict=True)):
            # Whole groups make larger stacks; the last few are divided, to keep all workers busy.
            parts = 1 if position < whole else workers
            shares += self._shares(runs, group, parts, ms, took, workers)
        return workers, sorted(shares, key=lambda share: (-len(share.runs), share.runs[0]))

    def alone(self, run: Run) -> Alone:
        """Return a run on its own."""
        return Alone(run.build(), run.recipe, self._objective, run.seed)

    def stacked(self, runs: Sequence[Run]) -> Stacked:
        """Return runs as one stack.

        Raises:
            NotStackable: they cannot be.
        """
        networks = [run.build() for run in runs]
        recipes = [run.recipe for run in runs]
        seeds = [run.seed for run in runs]
        return Stacked(networks, recipes, self._objective, seeds, self._example)

    def _workers(self, seconds: float, runs: int) -> int:
        if self._asked_workers is not None:
            return self._asked_workers
        on_cpu = self._data.train.device.type == "cpu"
        if not on_cpu or seconds < _WORTH_A_WORKER or not Processes.available():
            return 1
        return min(joblib.cpu_count(), runs)

    def _shares(
        self,
        runs: Sequence[Run],
        group: list[int],
        parts: int,
        loop_ms: float,
        seconds: float,
        workers: int,
    ) -> list[Share]:
        """Divide a group into `parts` stacks or more, or into loops of one run each."""
        if len(group) == 1 or self._asked_stack == 1:
            return _loops(group, "one run" if len(group) == 1 else "asked for")
        size = self._asked_stack or min(-(-len(group) // parts), _LARGEST)
        trial = _trial_seconds(loop_ms * 1e-3, size)
        if self._asked_stack is None and trial > _TRIAL_SHARE * seconds / workers:
            return _loops(group, f"the plain loop needs only {seconds:.1f} s for all runs")
        memory = _free_memory(self._data.train.device) * _MEMORY_SHARE / workers
        try:
            size, reason = self._try([runs[run] for run in group], size, loop_ms, memory)
        except NotStackable as error:
            return _loops(group, str(error))
        count = -(-len(group) // size)
        if self._asked_stack is None:
            count = max(count, parts)
        shares = _divide(group, count, [runs[run].seed for run in group])
        return [Share(share, len(share) > 1 and size > 1, reason) for share in shares]

    def _try(
        self, runs: Sequence[Run], size: int, loop_ms: float, memory: float
    ) -> tuple[int, str]:
        """Return the size of stack to use, 1 where the loop is faster, and why."""
        told: list[str] = []
        candidates = [size, *(smaller for smaller in _SMALLER if smaller < size)]
        while candidates:
            candidate = candidates.pop(0)
            stack = self.stacked(runs[:candidate])
            fits = max(1, int(memory / (stack.memory / candidate)))
            if fits < candidate:
                told.append(f"a stack of {candidate} does not fit into memory")
                candidates = [fits] if fits > 1 else []
                continue
            if self._asked_stack is not None:
                return candidate, "; ".join(["asked for", *told])
            ms = self._time(stack) * 1e3 / candidate
            told.append(f"{ms:.3f} ms in a stack of {candidate}")
            if ms <= _GAIN * loop_ms:
                return candidate, _told(told, loop_ms)
        return 1, _told(told, loop_ms)

    def _loop_ms(self, run: Run) -> float:
        """Milliseconds of a step in the plain loop; 0 where nothing depends on it."""
        if self._asked_workers is not None and self._asked_stack is not None:
            return 0.0
        return self._time(self.alone(run)) * 1e3

    def _time(self, stack: Stack) -> float:
        """Seconds of a step, the median of a few."""
        batch = repeat(self._example, stack.batches)
        warm, least, most = _TRIAL_STEPS
        times: list[float] = []
        started = time.perf_counter()
        with torch.random.fork_rng():
            while len(times) < warm + most:
                before = time.perf_counter()
                stack.step(batch.x, batch.y).sum().item()  # waits for the device
                times.append(time.perf_counter() - before)
                if len(times) >= warm + least and time.perf_counter() - started > _TRIAL_SECONDS:
                    break
        return statistics.median(times[warm:])


def _trial_seconds(step: float, size: int) -> float:
    """Return what a trial of a stack takes, roughly, where a step of a run alone takes `step`."""
    steps, most = _RECORDING
    warm, least, _ = _TRIAL_STEPS
    return min(steps * step, most) + (warm + least) * size * step


def _groups(runs: Sequence[Run]) -> list[list[int]]:
    """Positions of the runs by architecture and kind of recipe.

    Equal recipes stand together, and every seed once before any comes again, so that runs of one
    seed can share its batches.
    """
    groups: dict[Any, list[int]] = {}
    ranks: dict[Recipe, int] = {}
    places: list[tuple[int, int, int]] = []
    repeats: Counter[tuple[Any, ...]] = Counter()
    for position, run in enumerate(runs):
        groups.setdefault((run.architecture, *run.recipe.kind), []).append(position)
        rank = ranks.setdefault(run.recipe, len(ranks))
        places.append((rank, repeats[run.architecture, rank, run.seed], position))
        repeats[run.architecture, rank, run.seed] += 1
    return [sorted(group, key=places.__getitem__) for group in groups.values()]


def _divide(group: Sequence[int], count: int, seeds: Sequence[int]) -> list[tuple[int, ...]]:
    """Cut a group into parts of equal length, or nearly.

    Runs of one seed stay together where the parts can be equal so, and neighbours otherwise.
    """
    places = {seed: place for place, seed in enumerate(dict.fromkeys(seeds))}
    parts: list[list[int]] = [[] for _ in range(count)]
    for run, seed in zip(group, seeds, strict=True):
        parts[places[seed] * count // len(places)].append(run)
    if len({len(part) for part in parts}) > 1:
        ends = [len(group) * part // count for part in range(count + 1)]
        parts = [list(group[a:b]) for a, b in itertools.pairwise(ends)]
    return [tuple(part) for part in parts if part]


def _loops(group: Sequence[int], reason: str) -> list[Share]:
    return [Share((run,), False, reason) for run in group]


def _told(stacks: Sequence[str], loop_ms: float) -> str:
    return f"a step of a run takes {', '.join(stacks)}, {loop_ms:.3f} ms in the plain loop"


def _free_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available
