"""Learning-rate schedules: torch's own schedulers, for one run or for many."""

from dataclasses import dataclass
from typing import Any

import torch
from torch.optim import lr_scheduler

SCHEDULES = ("constant", "step", "exponential", "cosine", "plateau", "cyclic", "onecycle")

_WARM_START = 0.01  # share of the learning rate with which a warm-up begins
_LOWEST = 0.1  # share of the learning rate between which and the whole a cycle moves
_MOVED = ("lr", "momentum", "betas")  # what schedulers change


@dataclass(frozen=True)
class Schedule:
    """How a run's learning rate moves, counted in optimizer steps.

    | kind | torch.optim.lr_scheduler |
    |---|---|
    | `constant` | none |
    | `step`, `exponential` | StepLR: times `factor` after `every` steps |
    | `cosine` | CosineAnnealingLR, down to 0 at the end (Loshchilov & Hutter 2017) |
    | `plateau` | ReduceLROnPlateau: times `factor` where the validation loss has not fallen for more than `patience` evaluations |
    | `cyclic` | CyclicLR, from a tenth of the learning rate up to it and back, `every` steps each way (Smith 2017) |
    | `onecycle` | OneCycleLR, to the learning rate and down to nothing; cycles momentum, or Adam's first beta, too (Smith & Topin 2018) |

    Attributes:
        kind: which one.
        steps: of the whole training.
        every: steps between changes, or of half a cycle.
        factor: of a change.
        patience: evaluations.
        warmup: steps before all that in which the learning rate rises evenly from a hundredth
            (LinearLR, in a SequentialLR). `cyclic` and `onecycle` begin with a rise of their own.

    Example:
        >>> Schedule("step", steps=100, every=40).factor
        0.1
    """  # noqa: E501

    kind: str = "constant"
    steps: int = 0
    every: int = 1
    factor: float = 0.1
    patience: int = 10
    warmup: int = 0

    @property
    def is_constant(self) -> bool:
        """Whether the learning rate stays as it is."""
        return self.kind == "constant" and not self.warmup

    @property
    def by_result(self) -> bool:
        """Whether the learning rate depends on how the run goes."""
        return self.kind == "plateau"


CONSTANT = Schedule()
"""The learning rate stays as it is."""


class Dial:
    """Turns the learning rate of an optimizer's parameter group by a schedule.

    torch's schedulers move a whole optimizer, and a stack has a group for each recipe: so every
    dial has a small optimizer of its own, with no weights, and its setting is passed on.

    Args:
        schedule: to follow.
        optimizer: one with a single group that nobody trains with.
        cycles_momentum: whether `onecycle` moves momentum, too.
    """

    def __init__(
        self, schedule: Schedule, optimizer: torch.optim.Optimizer, *, cycles_momentum: bool
    ) -> None:
        self._schedule, self._optimizer = schedule, optimizer
        self._steps = 0
        self._by_step = _by_step(schedule, optimizer, cycles_momentum=cycles_momentum)
        self._by_result = None
        if schedule.by_result:
            self._by_result = lr_scheduler.ReduceLROnPlateau(
                optimizer, factor=schedule.factor, patience=schedule.patience
            )

    def set(self, group: dict[str, Any]) -> None:
        """Give a parameter group the setting of the moment."""
        [mine] = self._optimizer.param_groups
        group.update({name: mine[name] for name in _MOVED if name in mine})

    def step(self) -> None:
        """Go on by one optimizer step."""
        self._steps += 1
        self._optimizer.step()  # changes nothing, and torch's schedulers want to see it
        if self._by_step is not None:
            self._by_step.step()

    def evaluated(self, loss: float) -> None:
        """Take note of the validation loss; during a warm-up it says nothing."""
        if self._by_result is not None and self._steps > self._schedule.warmup:
            self._by_result.step(loss)


def _by_step(
    schedule: Schedule, optimizer: torch.optim.Optimizer, *, cycles_momentum: bool
) -> lr_scheduler.LRScheduler | None:
    if not schedule.warmup:
        return _main(schedule, optimizer, cycles_momentum=cycles_momentum)
    warmup = lr_scheduler.LinearLR(optimizer, _WARM_START, total_iters=schedule.warmup)
    main = _main(schedule, optimizer, cycles_momentum=cycles_momentum)
    if main is None:
        return warmup
    return lr_scheduler.SequentialLR(optimizer, [warmup, main], [schedule.warmup])


def _main(
    schedule: Schedule, optimizer: torch.optim.Optimizer, *, cycles_momentum: bool
) -> lr_scheduler.LRScheduler | None:
    lr = optimizer.param_groups[0]["lr"]
    match schedule.kind:
        case "step" | "exponential":
            return lr_scheduler.StepLR(optimizer, schedule.every, schedule.factor)
        case "cosine":
            return lr_scheduler.CosineAnnealingLR(optimizer, schedule.steps - schedule.warmup)
        case "cyclic":
            return lr_scheduler.CyclicLR(
                optimizer, _LOWEST * lr, lr, schedule.every, cycle_momentum=False
            )
        case "onecycle":
            return lr_scheduler.OneCycleLR(
                optimizer, lr, schedule.steps, cycle_momentum=cycles_momentum
            )
        case _:
            return None
