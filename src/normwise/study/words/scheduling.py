"""Words that move the learning rate in training; lengths are given in epochs."""

import math
from dataclasses import dataclass, replace

from normwise.errors import UsageError, suggest
from normwise.stack import SCHEDULES, Budget, Recipe, Schedule
from normwise.study.words.word import Entry, Spelling, Tuning, Word

_RISING = ("cyclic", "onecycle")  # they begin with a rise, and need no other
_LAST = 0.01  # share of the learning rate to which `exponential` falls
_DROPS = 3  # parts that `step` makes of the training
_CYCLES = 4  # of `cyclic` in a training
_MEANING = (
    "use schedule=cosine, onecycle, step (or step=E: a tenth after every E epochs), exponential "
    "(or exponential=G: times G after every epoch), plateau (or plateau=N: a tenth after N "
    "evaluations without progress), cyclic (or cyclic=E: up in E epochs, and down) or constant"
)
_WITHOUT_VALUE = ("constant", "cosine", "onecycle")


@dataclass(frozen=True)
class Scheduled(Tuning):
    """`schedule=cosine`, `schedule=step=10`."""

    kind: str
    value: float | None
    slot = "schedule"

    def tune(self, recipe: Recipe, budget: Budget) -> Recipe:
        """Set the schedule; a warm-up stays."""
        if recipe.schedule.warmup and self.kind in _RISING:
            raise _no_warmup(self.kind)
        steps, per_epoch = _lengths(recipe, budget)
        schedule = Schedule(self.kind, steps, warmup=recipe.schedule.warmup)
        match self.kind:
            case "step":
                every = self._steps(recipe, budget, steps / _DROPS)
                schedule = replace(schedule, every=every)
            case "exponential":
                factor = _LAST ** (per_epoch / steps) if self.value is None else self.value
                schedule = replace(schedule, every=max(1, round(per_epoch)), factor=factor)
            case "cyclic":
                every = self._steps(recipe, budget, steps / (2 * _CYCLES))
                schedule = replace(schedule, every=every)
            case "plateau" if self.value is not None:
                schedule = replace(schedule, patience=int(self.value))
        return replace(recipe, schedule=schedule)

    def _steps(self, recipe: Recipe, budget: Budget, default: float) -> int:
        if self.value is None:
            return max(1, round(default))
        return _in_steps(f"schedule={self.kind}={self.value:g}", self.value, recipe, budget)


@dataclass(frozen=True)
class Warmup(Tuning):
    """`warmup=1`."""

    epochs: float
    slot = "warm-up"

    def tune(self, recipe: Recipe, budget: Budget) -> Recipe:
        """Let the learning rate rise first."""
        if self.epochs and recipe.schedule.kind in _RISING:
            raise _no_warmup(recipe.schedule.kind)
        steps = _in_steps(f"warmup={self.epochs:g}", self.epochs, recipe, budget)
        return replace(recipe, schedule=replace(recipe.schedule, warmup=steps))


def _lengths(recipe: Recipe, budget: Budget) -> tuple[int, float]:
    """The optimizer's steps of the whole training, and of an epoch on average."""
    return budget.steps // recipe.accumulate, budget.steps_per_epoch / recipe.accumulate


def _in_steps(text: str, epochs: float, recipe: Recipe, budget: Budget) -> int:
    whole, per_epoch = _lengths(recipe, budget)
    steps = math.ceil(epochs * per_epoch)
    if steps >= whole:
        whole = budget.steps / budget.steps_per_epoch
        raise UsageError(
            f"{text}: {epochs:g} epochs are no less than the whole training, which has {whole:g}: "
            "train longer, or choose fewer"
        )
    return steps


def _no_warmup(kind: str) -> UsageError:
    return UsageError(
        f"schedule={kind} begins with a rise of its own: leave warmup out, or give warmup=0 where "
        "the whole study has one"
    )


def _schedule(spelling: Spelling) -> Word:
    kind, equals, value = spelling.value.partition("=")
    if kind not in SCHEDULES:
        raise spelling.refuse(f"unknown schedule{suggest(kind, SCHEDULES)}; {_MEANING}")
    if not equals:
        return Scheduled(kind, None)
    if kind in _WITHOUT_VALUE:
        raise spelling.refuse(f"{kind} takes no value; write schedule={kind}")
    number = spelling.number(value)
    if kind == "plateau" and not (number >= 0 and number.is_integer()):
        raise spelling.refuse("the patience is a whole number of evaluations")
    if number < 0 or (number == 0 and kind != "plateau"):
        raise spelling.refuse("the value is positive")
    if kind == "exponential" and number >= 1:
        raise spelling.refuse("the factor of an epoch lies in (0, 1)")
    return Scheduled(kind, number)


def _warmup(spelling: Spelling) -> Word:
    epochs = spelling.number()
    if epochs < 0:
        raise spelling.refuse("the epochs of a warm-up are 0 or more")
    return Warmup(epochs)


SCHEDULING = {
    "schedule": Entry(_schedule, _MEANING),
    "warmup": Entry(_warmup, "warmup=1 lets the learning rate rise evenly in the first epoch"),
}
