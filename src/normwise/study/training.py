"""Training the runs of a study: plan them, hand them to processes, pass on what comes back."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from normwise.errors import UsageError
from normwise.evidence import Distribution, distributions
from normwise.references import explain
from normwise.stack import (
    Budget,
    Evaluation,
    Executor,
    InProcess,
    NotStackable,
    Planner,
    Processes,
    Run,
    train,
)
from normwise.study.factories import Workshop
from normwise.study.record import Record
from normwise.study.schedule import Job, RunName, Schedule
from normwise.study.settings import Measure, Settings
from normwise.study.variants import Variant
from normwise.trace import undisturbed

THREADS = 1  # of a process: several processes use the cores better than several threads do

_PROBE = 512  # samples of the validation split on which hidden layers are looked into
_MOMENTS = 5  # at which they are, evenly from the first step to the last


@dataclass(frozen=True)
class Advance:
    """Tells that a job has come further.

    Attributes:
        doing: what it trains, for the reader.
        steps: optimizer steps since it last told, of all its runs together.
    """

    doing: str
    steps: int


@dataclass(frozen=True)
class Training:
    """Trains runs of a study.

    Attributes:
        workshop: builds the networks.
        settings: of all runs.
        variants: by name.
        looked_into: the seed whose hidden layers are looked into.
        workers: processes to use, or None to decide.
        stack: runs in a stack, 1 for none, or None to decide.
    """

    workshop: Workshop
    settings: Settings
    variants: dict[str, Variant]
    looked_into: int
    workers: int | None
    stack: int | None

    @property
    def budget(self) -> Budget:
        """How long every run trains."""
        return self.settings.budget(self.workshop.data)

    def schedule(self, todo: Sequence[RunName], earlier: Schedule | None) -> Schedule:
        """Decide how runs are trained; those that were scheduled before, as then.

        Args:
            todo: the runs that have not been trained.
            earlier: the schedule of a study that is resumed.
        """
        jobs, new = ([], list(todo)) if earlier is None else earlier.for_runs(todo)
        with one_thread(), explained("a first step"):
            workers, shares = self._planner().plan([self._run(name) for name in new])
        planned = (
            Job(tuple(new[run] for run in share.runs), share.stacked, share.reason)
            for share in shares
        )
        if earlier is not None and self.workers is None:
            workers = max(workers, earlier.workers)
        return Schedule(workers, (*jobs, *planned))

    def run(self, schedule: Schedule, receive: Callable[[Advance | Record], None]) -> None:
        """Do all jobs.

        Args:
            schedule: the jobs.
            receive: called in this process with every `Advance` and every finished `Record`.
        """
        executor: Executor = InProcess() if schedule.workers == 1 else Processes(schedule.workers)
        with one_thread():
            executor.run(schedule.jobs, self._do, receive)

    def _do(self, job: Job, send: Callable[[Advance | Record], None]) -> None:
        with explained(_doing(job.runs)):
            self._train(job, send)

    def _train(self, job: Job, send: Callable[[Advance | Record], None]) -> None:
        planner, data, budget = self._planner(), self.workshop.data, self.budget
        runs = [self._run(name) for name in job.runs]
        try:
            stack = planner.stacked(runs) if job.stacked else planner.alone(runs[0])
        except NotStackable as error:  # though the planner's trial, of other runs, could be stacked
            for name in job.runs:
                self._train(Job((name,), False, str(error)), send)
            return
        doing = _doing(job.runs)
        snapshots: list[dict[int, list[Distribution]]] = [{} for _ in job.runs]
        moments = _moments(budget)
        measured: list[dict[int, dict[str, float]]] = [{} for _ in job.runs]
        last = [0] * len(runs)

        def observe(row: Evaluation, run: int, network: Callable[[], nn.Module]) -> None:
            step = row.step
            send(Advance(doing, step - last[run]))
            last[run] = step
            if step in moments and job.runs[run][1] == self.looked_into:
                snapshots[run][step] = distributions(network(), data.val[:_PROBE].x)
            if self.settings.measure is not None:
                measured[run][step] = _measured(self.settings.measure, network())

        stopping = [run.recipe.stopping for run in runs]
        outcomes = train(stack, [run.seed for run in runs], data, budget, observe, stopping)
        told = zip(job.runs, outcomes, snapshots, measured, last, strict=True)
        for name, outcome, seen, numbers, steps in told:
            send(Advance(doing, budget.steps - steps))  # a diverged run leaves some out
            send(Record(*name, outcome, seen, numbers))

    def _planner(self) -> Planner:
        workshop = self.workshop
        return Planner(workshop.data, workshop.objective, self.budget, self.workers, self.stack)

    def _run(self, name: RunName) -> Run:
        variant, seed = self.variants[name[0]], name[1]
        return Run(
            build=lambda: self.workshop.build(variant, seed),
            recipe=self.settings.recipe_for(variant, self.workshop.data),
            seed=seed,
            architecture=variant.architecture,
        )


def _doing(runs: Sequence[RunName]) -> str:
    if len(runs) == 1:
        return f"{runs[0][0]}, seed {runs[0][1]}"
    return f"{', '.join(dict.fromkeys(name for name, _ in runs))}: {len(runs)} runs"


@contextmanager
def explained(doing: str, kept: str = "Finished runs are kept") -> Iterator[None]:
    """Tell a failure of the user's network or loss as one: it was tried before, but only once.

    Args:
        doing: what fails.
        kept: what is not lost.
    """
    try:
        yield
    except UsageError as error:  # such as a sample that cannot be read any more
        raise UsageError(
            *error.problems[:-1], f"{error.problems[-1].rstrip('.')}. {kept}"
        ) from error
    except Exception as error:
        if _is_out_of_memory(error):
            raise UsageError(
                f"{doing} ran out of memory ({explain(error)}): lower batch_size, and where that "
                f"changes the result accumulate more batches for a step. {kept}"
            ) from error
        raise UsageError(f"{doing} failed in training: {explain(error)}. {kept}") from error


def _is_out_of_memory(error: Exception) -> bool:
    """Torch has an exception of its own for devices, and a message for the CPU."""
    known = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return known or "not enough memory" in str(error) or "can't allocate memory" in str(error)


def _measured(measure: Measure, network: nn.Module) -> dict[str, float]:
    """Measure a network, which may be the one that goes on training."""
    with undisturbed(network):
        found = measure(network.eval())
    return {str(name): torch.as_tensor(value).item() for name, value in found.items()}


def _moments(budget: Budget) -> set[int]:
    """The evaluations at which hidden layers are looked into."""
    steps = [step for step in range(budget.steps + 1) if budget.is_evaluation(step)]
    return {steps[round(k * (len(steps) - 1) / (_MOMENTS - 1))] for k in range(_MOMENTS)}


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with `THREADS` threads inside."""
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    try:
        yield
    finally:
        torch.set_num_threads(before)
