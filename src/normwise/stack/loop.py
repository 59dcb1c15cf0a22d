"""The training loop. There is one: a single run is a stack of one."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, nn

from normwise.data import Data, Split
from normwise.samples import Samples, Targets, tensors
from normwise.stack.feeding import Resident
from normwise.stack.objective import Scores
from normwise.stack.order import Order
from normwise.stack.seeding import derive, seeded


@dataclass(frozen=True)
class Budget:
    """How long a run trains and when it is looked at.

    Attributes:
        steps: batches in all, each of which is a step of the optimizer, unless a recipe
            accumulates several for one.
        batch_size: samples in a batch.
        evaluate_every: steps between evaluations; there is one before the first step and one
            after the last, too.
        steps_per_epoch: steps in one pass over the training split.
        order: of the samples: one of `normwise.stack.ORDERS`.

    Example:
        >>> budget = Budget(steps=10, batch_size=64, evaluate_every=4)
        >>> [step for step in range(11) if budget.is_evaluation(step)]
        [0, 4, 8, 10]
    """

    steps: int
    batch_size: int
    evaluate_every: int
    steps_per_epoch: int = 1
    order: str = "shuffled"

    def is_evaluation(self, step: int) -> bool:
        """Tell whether the run is evaluated after this many steps."""
        return step % self.evaluate_every == 0 or step == self.steps


@dataclass(frozen=True)
class Evaluation:
    """What a run had reached after `step` steps.

    Attributes:
        step: optimizer steps taken.
        train_loss: mean loss of the batches since the evaluation before, in training mode; NaN at
            step 0.
        val_loss: mean loss on the validation split, in evaluation mode.
        val_metric: accuracy or R² there.
        heads: the metric of each, where there are several.

    Example:
        >>> Evaluation(step=100, train_loss=0.3, val_loss=0.4, val_metric=0.9).val_metric
        0.9
    """

    step: int
    train_loss: float
    val_loss: float
    val_metric: float
    heads: Mapping[str, float] = field(default_factory=dict)


@dataclass
class Outcome:
    """How one run went.

    Attributes:
        status: `done`, or `diverged` where the loss became NaN or infinite.
        steps: optimizer steps taken.
        evaluations: in order of step.
        test_loss: of the final network, measured once; NaN for a diverged run.
        test_metric: accuracy or R² there.
        seconds: of training and evaluation; a stack shares its time out evenly.

    Example:
        >>> Outcome().status, Outcome().evaluations
        ('done', [])
    """

    status: str = "done"
    steps: int = 0
    evaluations: list[Evaluation] = field(default_factory=list)
    test_loss: float = math.nan
    test_metric: float = math.nan
    seconds: float = 0.0


class Stack(Protocol):
    """Runs of one architecture that train together.

    Example:
        >>> from normwise.stack import Alone, Objective, Recipe
        >>> stack: Stack = Alone(nn.Linear(2, 1), Recipe(), Objective("regression"))
        >>> stack.size
        1
    """

    @property
    def size(self) -> int:
        """How many runs there are."""
        ...

    @property
    def batches(self) -> int:
        """How many batches a step takes: run r trains on number r modulo this."""
        ...

    def step(self, x: Samples, y: Targets) -> Tensor:
        """Update every run on its batch; return the losses, shape (size,).

        Nothing here waits for the device.

        Args:
            x: samples, shape (batches, samples, ...).
            y: targets.
        """
        ...

    def evaluate(self, split: Split) -> list[Scores]:
        """Return each run's loss and metric on a split, in evaluation mode."""
        ...

    def evaluated(self, losses: Sequence[float]) -> None:
        """Take note of every run's loss on the validation split, after an evaluation."""
        ...

    def network(self, run: int) -> nn.Module:
        """Return one run's network as it is now."""
        ...

    def keep(self, runs: Sequence[int]) -> None:
        """Go on with these runs only."""
        ...


Observer = Callable[[int, int, Callable[[], nn.Module]], None]


def train(
    stack: Stack,
    seeds: Sequence[int],
    data: Data,
    budget: Budget,
    observe: Observer | None = None,
) -> list[Outcome]:
    """Train all runs of a stack and score each on the test split once, at the end.

    Args:
        stack: the runs.
        seeds: one per run; fixes the order of its batches.
        data: splits on the stack's device.
        budget: how long, and how often to evaluate.
        observe: called at every evaluation with the step, the run's position, and a function that
            returns its network.

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
        outcomes = _Training(stack, seeds, data, budget, observe).run()
    for outcome in outcomes:
        outcome.seconds = (time.perf_counter() - started) / len(outcomes)
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
    ) -> None:
        self.stack, self.data, self.budget, self.observe = stack, data, budget, observe
        labels = tensors(data.train.y)[0].cpu() if budget.order == "sorted" else None
        self.orders = [
            Order(len(data.train), budget.batch_size, seed, budget.order, labels) for seed in seeds
        ]
        self.outcomes = [Outcome() for _ in seeds]
        self.active = list(range(len(seeds)))
        self.losses = torch.zeros(len(seeds), device=data.train.device, dtype=torch.float64)
        self.losses_from = 0

    def run(self) -> list[Outcome]:
        self.look(0)
        for step, batch in enumerate(Resident(self.data.train).batches(self.rows()), 1):
            self.losses += self.stack.step(batch.x, batch.y)
            if self.budget.is_evaluation(step):
                self.look(step)
                if not self.active:
                    return self.outcomes
        for run, scores in zip(self.active, self.stack.evaluate(self.data.test), strict=True):
            self.outcomes[run].test_loss, self.outcomes[run].test_metric, _ = scores
        return self.outcomes

    def rows(self) -> Iterator[Tensor]:
        """Yield the samples of every step, shape (batches, samples), `budget.steps` times."""
        left = self.budget.steps
        while left:
            # Runs that have left go on drawing, so that nobody's order depends on them.
            epoch = torch.stack([order.next_epoch() for order in self.orders], 1)[:left]
            for indices in epoch.to(self.data.train.device):
                yield indices[self.active[: self.stack.batches]]
            left -= len(epoch)

    def look(self, step: int) -> None:
        """Evaluate and show every run; those that diverged leave the stack."""
        devices = [self.losses.device] if self.losses.is_cuda else []
        with torch.random.fork_rng(devices):
            losses, scores = self._train_losses(step), self.stack.evaluate(self.data.val)
            for place, run in enumerate(self.active):
                outcome = self.outcomes[run]
                outcome.steps = step
                outcome.evaluations.append(Evaluation(step, losses[place], *scores[place]))
                if step and not math.isfinite(losses[place]):
                    outcome.status = "diverged"
                elif self.observe is not None:
                    self.observe(step, run, partial(self.stack.network, place))
        if step:
            self.stack.evaluated([score.loss for score in scores])
        self._leave()

    def _train_losses(self, step: int) -> list[float]:
        steps = step - self.losses_from
        losses = (self.losses / steps).tolist() if steps else [math.nan] * len(self.active)
        self.losses.zero_()
        self.losses_from = step
        return losses

    def _leave(self) -> None:
        alive = [p for p, run in enumerate(self.active) if self.outcomes[run].status == "done"]
        if len(alive) < len(self.active):
            self.stack.keep(alive)
            self.active = [self.active[place] for place in alive]
            self.losses = self.losses[alive]
