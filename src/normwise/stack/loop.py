"""The training loop. There is one: a single run is a stack of one."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial

import torch
from torch import Tensor, nn

from normwise.data import Data
from normwise.samples import tensors
from normwise.stack.budget import Budget
from normwise.stack.feeding import feed_of
from normwise.stack.keeping import (
    Keeping,
    Resumable,
    State,
    random_plain,
    random_tensors,
    set_random,
)
from normwise.stack.objective import Scores
from normwise.stack.order import Order
from normwise.stack.outcome import Evaluation, Outcome
from normwise.stack.protocol import Stack
from normwise.stack.seeding import derive, seeded
from normwise.stack.stopping import NEVER, Stopping, Watch

_WAITING = 1000  # losses of steps that are kept until they are added up, which waits for the device
_ROOM = 0.25  # share of a stack that may have ended before it is made smaller


Observer = Callable[[Evaluation, int, Callable[[], nn.Module]], None]


def train(
    stack: Stack,
    seeds: Sequence[int],
    data: Data,
    budget: Budget,
    observe: Observer | None = None,
    stopping: Sequence[Stopping] | None = None,
    keeping: Keeping | None = None,
) -> list[Outcome]:
    """Train all runs of a stack and score each on the test split once, at its end.

    Args:
        stack: the runs.
        seeds: one per run; fixes the order of its batches.
        data: splits on the stack's device.
        budget: how long, and how often to evaluate.
        observe: called with every evaluation, the run's position, and a function that returns its
            network.
        stopping: what ends each run early; None for nothing.
        keeping: how the state of the training is kept, for a stack that can be `Resumable`.

    Returns:
        One outcome per run.

    Example:
        >>> from normwise.data import load
        >>> from normwise.stack import Alone, Objective, Recipe
        >>> network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        >>> stack = Alone(network, Recipe(lr=0.1), Objective("classes"))
        >>> [outcome] = train(stack, [0], load("digits"), Budget(100, 64, 50))
        >>> outcome.test_metric > 0.8
        True
    """
    started = time.perf_counter()
    # Networks draw dropout masks from torch's global stream: in a stack of one it is the run's own.
    with seeded(derive(seeds[0], "dropout")):
        training = _Training(stack, seeds, data, budget, observe, stopping)
        outcomes = training.run(keeping)
    for outcome in outcomes:
        outcome.seconds += (time.perf_counter() - started) / len(outcomes)
    return outcomes


class _Training:
    """The loop's state: which runs are still in the stack, and their losses since the last look."""

    def __init__(
        self,
        stack: Stack,
        seeds: Sequence[int],
        data: Data,
        budget: Budget,
        observe: Observer | None,
        stopping: Sequence[Stopping] | None,
    ) -> None:
        self.stack, self.data, self.budget, self.observe = stack, data, budget, observe
        labels = tensors(data.train.y)[0].cpu() if budget.order == "sorted" else None
        self.orders = [
            Order(len(data.train), budget.batch_size, seed, budget.order, labels) for seed in seeds
        ]
        self.feed = feed_of(data.train)
        self.outcomes = [Outcome() for _ in seeds]
        self.watches = [Watch(each) for each in stopping or [NEVER] * len(seeds)]
        self.active = list(range(len(seeds)))  # runs in the stack, by place
        self.ended: set[int] = set()  # runs that take no further part, some still in the stack
        self.losses = [0.0] * len(seeds)
        self.waiting: list[Tensor] = []  # losses that are not yet in the sums
        self.losses_from = 0

    def run(self, keeping: Keeping | None) -> list[Outcome]:
        first = self.begin(keeping)
        batches = self.feed.batches(self.rows(first), self.orders[0].batch_size)
        for step, batch in enumerate(batches, first + 1):
            self.add(self.stack.step(batch.x, batch.y))
            if self.budget.is_evaluation(step):
                self.look(step)
                if not self.active:
                    break
            if keeping is not None and keeping.keep(step, self.state):
                if not self.budget.is_evaluation(step):
                    self.look(step)  # the steps since the last look may have found better weights
                break
        self.finish([run for run in self.active if run not in self.ended])
        return self.outcomes

    def begin(self, keeping: Keeping | None) -> int:
        """Evaluate for the first time, or go on from a state; return the steps taken so far."""
        if keeping is not None and keeping.state is not None:
            self.restore(keeping.state)
            return keeping.state.step
        self.look(0)
        return 0

    def rows(self, first: int) -> Iterator[Tensor]:
        """Yield the numbers of the samples of every step from one on, batch after batch."""
        taken = 0
        while taken < self.budget.steps:
            # Runs that have left go on drawing, so that nobody's order depends on them.
            epoch = torch.cat([order.next_epoch() for order in self.orders], 1)
            wanted = epoch[max(0, first - taken) : self.budget.steps - taken]
            for numbers in wanted.to(self.feed.place):
                yield self.chosen(numbers)
            taken += len(epoch)

    def chosen(self, numbers: Tensor) -> Tensor:
        """Return those of the batches that a step takes: most often those in front."""
        runs = self.active[: self.stack.batches]
        if len(runs) == len(self.orders):  # all of them, in order
            return numbers
        batches = numbers.unflatten(0, (len(self.orders), -1))
        in_front = runs == list(range(len(runs)))
        return (batches[: len(runs)] if in_front else batches[runs]).flatten()

    def look(self, step: int) -> None:
        """Evaluate and show every run; those that are at their end take no further part."""
        device = self.data.train.device
        devices = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            losses, scores = self.train_losses(step), self.stack.evaluate(self.data.val)
            rates = self.stack.rates
            for place, run in enumerate(self.active):
                if run not in self.ended:
                    row = Evaluation(step, losses[place], *scores[place], lr=rates[place])
                    self.note(place, run, row, scores[place])
        if step:
            self.stack.evaluated([score.loss for score in scores])
        self.leave()

    def note(self, place: int, run: int, row: Evaluation, scores: Scores) -> None:
        """Write down a run's evaluation, and end the run where that is due."""
        outcome, watch = self.outcomes[run], self.watches[run]
        outcome.steps = row.step
        outcome.evaluations.append(row)
        ends = watch.ends(row.step, scores)
        if watch.is_best(row.step):
            watch.weights = self.stack.weights(place)
        if row.step and not math.isfinite(row.train_loss):
            outcome.status = "diverged"
            self.finish([run])
            return
        if self.observe is not None:
            self.observe(row, run, partial(self.stack.network, place))
        if ends and row.step:
            self.finish([run])

    def add(self, losses: Tensor) -> None:
        """Note the losses of a step; they are added up later, many at once and in this order."""
        self.waiting.append(losses)
        if len(self.waiting) >= _WAITING:
            self.add_up()

    def add_up(self) -> None:
        for losses in torch.stack(self.waiting).tolist() if self.waiting else ():
            self.losses = [total + loss for total, loss in zip(self.losses, losses, strict=True)]
        self.waiting = []

    def train_losses(self, step: int) -> list[float]:
        self.add_up()
        steps = step - self.losses_from
        means = [total / steps if steps else math.nan for total in self.losses]
        self.losses = [0.0] * len(self.losses)
        self.losses_from = step
        return means

    def finish(self, runs: Sequence[int]) -> None:
        """End runs: bring back their best weights, and score them on the test split."""
        for run in runs:
            if self.watches[run].weights:
                self.stack.restore(self.active.index(run), self.watches[run].weights)
        self.ended.update(runs)
        scored = [run for run in runs if self.outcomes[run].status != "diverged"]
        places = [self.active.index(run) for run in scored]
        for run, scores in zip(scored, self.stack.evaluate(self.data.test, places), strict=True):
            self.outcomes[run].test_loss, self.outcomes[run].test_metric, _ = scores

    def leave(self) -> None:
        """Take runs that have ended out of the stack, which is made anew then.

        Those that diverged go at once; early stopping ends one run here and one there, and takes
        them out once they are many.
        """
        ended = [run for run in self.active if run in self.ended]
        alive = [place for place, run in enumerate(self.active) if run not in self.ended]
        diverged = any(self.outcomes[run].status == "diverged" for run in ended)
        if diverged or (ended and len(ended) >= _ROOM * len(self.active)):
            self.stack.keep(alive)
            self.active = [self.active[place] for place in alive]
            self.losses = [self.losses[place] for place in alive]

    def state(self, step: int) -> State:
        """Return all that is needed to go on from this step, for a stack of one."""
        assert isinstance(self.stack, Resumable)
        watch, outcome = self.watches[0], self.outcomes[0]
        tensors = self.stack.state()
        tensors |= {f"best/{name}": tensor for name, tensor in watch.weights.items()}
        self.add_up()
        tensors |= random_tensors()
        plain = {
            "losses": self.losses,
            "losses_from": self.losses_from,
            "evaluations": [asdict(row) for row in outcome.evaluations],
            "watch": [watch.loss, watch.step, watch.waited],
            "random": random_plain(),
        }
        return State(step, tensors, plain)

    def restore(self, state: State) -> None:
        """Go on from a state, bit for bit."""
        assert isinstance(self.stack, Resumable)
        rows = [Evaluation(**row) for row in state.plain["evaluations"]]
        seen = {row.step: row.val_loss for row in rows if row.step}
        self.stack.load_state(state.tensors, state.step, seen)
        self.outcomes[0].evaluations, self.outcomes[0].steps = rows, rows[-1].step
        watch = self.watches[0]
        watch.loss, watch.step, watch.waited = state.plain["watch"]
        watch.weights = state.of("best")
        self.losses = state.plain["losses"]
        self.losses_from = state.plain["losses_from"]
        set_random(state)
