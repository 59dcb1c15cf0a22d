"""How the runs of a study are trained: which together, which alone, in how many processes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

RunName = tuple[str, int]
"""A run's variant and seed."""


@dataclass(frozen=True)
class Job:
    """Runs that one process trains, as one stack or one alone.

    Attributes:
        runs: by variant and seed.
        stacked: whether they are one program.
        reason: why so.
    """

    runs: tuple[RunName, ...]
    stacked: bool
    reason: str


@dataclass(frozen=True)
class Schedule:
    """All jobs of a study.

    Attributes:
        workers: processes that take jobs, one after another.
        jobs: in the order in which they are taken.
    """

    workers: int
    jobs: tuple[Job, ...]

    def to_plain(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        jobs = [
            {"runs": [list(run) for run in job.runs], "stacked": job.stacked, "reason": job.reason}
            for job in self.jobs
        ]
        return {"workers": self.workers, "jobs": jobs}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> "Schedule":
        """Read what `to_plain` returned."""
        jobs = (
            Job(tuple((name, seed) for name, seed in job["runs"]), job["stacked"], job["reason"])
            for job in plain["jobs"]
        )
        return cls(plain["workers"], tuple(jobs))

    def for_runs(self, runs: Iterable[RunName]) -> tuple[list[Job], list[RunName]]:
        """Return the jobs that hold any of these runs, and the runs that no job holds.

        A job is done whole, also for the sake of one run: a run's result depends, in its last
        digits, on who shares its stack.
        """
        wanted = list(runs)
        jobs = [job for job in self.jobs if set(job.runs) & set(wanted)]
        held = {run for job in jobs for run in job.runs}
        return jobs, [run for run in wanted if run not in held]

    def extended(self, later: "Schedule") -> "Schedule":
        """Return this schedule with the jobs of a later one that are new."""
        new = (job for job in later.jobs if job not in self.jobs)
        return Schedule(later.workers, (*self.jobs, *new))

    def frame(self) -> pd.DataFrame:
        """Return a row for each set of variants: how many runs, trained how, and why so."""
        groups: dict[tuple[str, str, str], int] = {}
        for job in self.jobs:
            variants = ", ".join(dict.fromkeys(name for name, _ in job.runs))
            how = f"stack of {len(job.runs)}" if job.stacked else "alone"
            key = variants, how, job.reason
            groups[key] = groups.get(key, 0) + len(job.runs)
        rows = [(variants, runs, how, why) for (variants, how, why), runs in groups.items()]
        return pd.DataFrame(rows, columns=pd.Index(["variants", "runs", "how", "reason"]))

    def __str__(self) -> str:
        """Say in a few words how many runs are trained how."""
        stacks = [len(job.runs) for job in self.jobs if job.stacked]
        alone = sum(not job.stacked for job in self.jobs)
        told = [_stacks(stacks)] if stacks else []
        told += [f"{alone} run{'s' * (alone > 1)} alone"] if alone else []
        return f"{' and '.join(told) or 'nothing left to train'}, in {_processes(self.workers)}"


def _stacks(sizes: Sequence[int]) -> str:
    least, most = min(sizes), max(sizes)
    size = f"{least}" if least == most else f"{least} to {most}"
    return f"{len(sizes)} stack{'s' * (len(sizes) > 1)} of {size} runs"


def _processes(workers: int) -> str:
    return f"{workers} processes with one thread each" if workers > 1 else "one process, one thread"
