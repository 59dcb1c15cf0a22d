"""What a study is asked to do, checked as a whole."""

import math
import numbers
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from normwise.data import Data
from normwise.errors import Problems, suggest
from normwise.stack import OPTIMIZERS, ORDERS, Budget, Goal, Recipe, goal_of
from normwise.stack.heads import Losses, Metrics
from normwise.study.contradictions import contradictions
from normwise.study.goals import goal_problems
from normwise.study.variants import Variant
from normwise.study.words import parse_options

Measure = Callable[[nn.Module], Mapping[str, float]]

_EVALUATIONS = (8, 50)  # at least and at most, where the user does not say
_BASE = ("optimizer", "lr", "momentum", "nesterov", "weight_decay")  # the rest are options
_EVALUATION_SHARE = 0.2  # evaluated per sample trained on: a forward costs a third of a step


@dataclass(frozen=True)
class Settings:
    """Everything that is the same for all runs of a study.

    Attributes:
        epochs: passes over the training split.
        batch_size: samples in a step.
        recipe: the optimizer; variants may change its learning rate and weight decay.
        options: values of words that go for all variants which do not say otherwise, by key.
        loss: a function, its name in torch.nn.functional, or None to infer it from the targets.
        evaluate_every: steps between evaluations, or None for 8 to 50 of them, few enough to cost
            little next to the training.
        target: value of the metric that runs are to reach, or None for the baseline's median best.
        margin: difference of the metric that does not matter, or None.
        measure: what else is measured of a network at every evaluation, or None.
        order: of the training samples.
        metric: a function of outputs and targets, or None for the task's own.
        loss_weights: of several heads.
        stop_at_target: whether runs end when they reach the target.
    """

    epochs: int
    batch_size: int
    recipe: Recipe
    options: Mapping[str, object]
    loss: Losses
    evaluate_every: int | None
    target: float | None
    margin: float | None
    measure: Measure | None = None
    order: str = "shuffled"
    metric: Metrics = None
    loss_weights: Mapping[str, float] | None = None
    stop_at_target: bool = False

    def problems(self, data: Data | None) -> list[str]:
        """Return all that cannot be meant; `data` is None while they are not known."""
        problems, task = Problems(), None if data is None else data.task
        for name, value in (("epochs", self.epochs), ("batch_size", self.batch_size)):
            problems.add(*not_counting(name, value))
        if self.evaluate_every is not None:
            problems.add(*not_counting("evaluate_every", self.evaluate_every))
        problems.add(*_recipe_problems(self.recipe))
        with problems.collect():
            parse_options(self.options)
        problems.add(*goal_problems(self.loss, self.metric, self.loss_weights, data))
        if not (self.measure is None or callable(self.measure)):
            problems.add(f"measure={self.measure!r}: give a function of a network")
        problems.add(*_order_problems(self.order, task))
        smooth, plain = self.options.get("smooth"), self.loss in (None, "cross_entropy")
        if smooth and not (plain and task in (None, "classes", "heads")):
            problems.add(f"smooth={smooth}: only cross-entropy smooths its labels; leave it out")
        entropy = self.options.get("entropy")
        if entropy and task == "regression":
            problems.add(f"entropy={entropy}: only predicted classes have an entropy; leave it out")
        if self.stop_at_target and self.target is None:
            problems.add("stop_at_target: name the target, such as target=0.95")
        own = self.metric is not None or task == "heads"
        if self.target is not None and not own and not _reachable(self.target, task):
            problems.add(
                f"target={self.target!r}: no run can reach it, since "
                + ("R² is at most 1" if task == "regression" else "accuracy lies in (0, 1]")
            )
        if self.margin is not None and not _positive(self.margin):
            problems.add(f"margin={self.margin!r}: the difference that does not matter is positive")
        return problems.found

    def budget(self, data: Data) -> Budget:
        """Return how long every run trains on this data, and how often it is evaluated."""
        batch_size = min(self.batch_size, len(data.train))
        steps = self.epochs * (len(data.train) // batch_size)
        every = self.evaluate_every
        if every is None:
            affordable = int(_EVALUATION_SHARE * steps * batch_size / max(1, len(data.val)))
            evaluations = min(max(affordable, _EVALUATIONS[0]), _EVALUATIONS[1])
            every = math.ceil(steps / evaluations)
        per_epoch = len(data.train) // batch_size
        return Budget(steps, batch_size, min(every, steps), per_epoch, self.order)

    def goal(self, data: Data) -> Goal:
        """Return what runs minimise and are scored by."""
        return goal_of(data, self.loss, self.metric, self.loss_weights)

    def recipe_for(self, variant: Variant, data: Data) -> Recipe:
        """Return how the runs of a variant are trained; its own words go before the study's.

        Raises:
            UsageError: the words do not fit the training, or each other.
        """
        decided = {word.slot for word in variant.words}
        words = [word for word in parse_options(self.options) if word.slot not in decided]
        recipe, budget = self.recipe, self.budget(data)
        problems = Problems()
        if self.stop_at_target:
            recipe = replace(recipe, stopping=replace(recipe.stopping, target=self.target))
        for word in sorted([*words, *variant.words], key=lambda word: word.order):
            with problems.collect():
                recipe = word.tune(recipe, budget)
        problems.add(*contradictions(recipe, data))
        problems.raise_if_any()
        return recipe

    def identity(self) -> dict[str, Any]:
        """Return what a run's numbers depend on, as plain values."""
        return {
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            **{name: getattr(self.recipe, name) for name in _BASE},
            **self.described_options(),
            "loss": _described(self.loss),
            "evaluate_every": self.evaluate_every,
            **({} if self.measure is None else {"measure": _name(self.measure)}),
            **({} if self.order == "shuffled" else {"order": self.order}),
            **({} if self.metric is None else {"metric": _described(self.metric)}),
            **({} if not self.loss_weights else {"loss_weights": dict(self.loss_weights)}),
            **({"stop_at_target": self.target} if self.stop_at_target else {}),
        }

    def described_options(self) -> dict[str, Any]:
        """Return the options that are given, as plain values."""
        given = {key: value for key, value in self.options.items() if value is not None}
        return {k: _name(value) if callable(value) else value for k, value in given.items()}


def read_seeds(seeds: int | Iterable[int]) -> tuple[list[int], list[str]]:
    """Return the seeds that are meant, 0..n-1 for a number n, and what is wrong with them."""
    if isinstance(seeds, bool | str) or not isinstance(seeds, numbers.Integral | Iterable):
        return [], [f"seeds={seeds!r}: give a number of seeds, or a list of them"]
    if isinstance(seeds, numbers.Integral):
        if seeds < 1:
            return [], [f"seeds={seeds}: a study needs at least one seed"]
        return list(range(int(seeds))), []
    listed = list(seeds)
    if not listed:
        return [], ["seeds is empty: a study needs at least one seed"]
    wrong = [seed for seed in listed if not _is_seed(seed)]
    if wrong:
        return [], [f"seeds holds {wrong[0]!r}: a seed is a whole number from 0 to 2**63 - 1"]
    if len(set(listed)) < len(listed):
        return [], ["seeds holds a seed twice: the same run would count as two"]
    return [int(seed) for seed in listed], []


def _is_seed(value: Any) -> bool:
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return whole and 0 <= int(value) < 2**63


def not_counting(name: str, value: Any) -> list[str]:
    """Return what is wrong with a number that must be whole and positive."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return []
    return [f"{name}={value!r}: a whole number, 1 or more, is needed"]


def _order_problems(order: Any, task: str | None) -> list[str]:
    if order not in ORDERS:
        known = ", ".join(ORDERS)
        return [f"unknown order {order!r}{suggest(str(order), ORDERS)}: use one of {known}"]
    if order == "sorted" and task not in (None, "classes"):
        return ["order='sorted' brings samples of a class together: it needs one label each"]
    return []


def _recipe_problems(recipe: Recipe) -> list[str]:
    problems = []
    if recipe.optimizer not in OPTIMIZERS:
        problems.append(
            f"unknown optimizer {recipe.optimizer!r}"
            f"{suggest(str(recipe.optimizer).lower(), OPTIMIZERS)}: use one of "
            f"{', '.join(OPTIMIZERS)}"
        )
    if not _positive(recipe.lr):
        problems.append(f"lr={recipe.lr!r}: a learning rate is a positive number")
    if not (_is_number(recipe.momentum) and 0 <= recipe.momentum < 1):
        problems.append(f"momentum={recipe.momentum!r}: it is a number in [0, 1)")
    if recipe.optimizer in OPTIMIZERS[1:] and (recipe.momentum or recipe.nesterov):
        problems.append(f"momentum is a setting of sgd, and optimizer={recipe.optimizer} is used")
    elif recipe.nesterov and not recipe.momentum:
        problems.append("nesterov needs momentum, such as momentum=0.9")
    decay = recipe.weight_decay
    if decay is not None and not (_positive(decay) or (_is_number(decay) and decay == 0)):
        problems.append(f"weight_decay={decay!r}: it is a number, 0 or more")
    return problems


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _positive(value: Any) -> bool:
    return _is_number(value) and 0 < value < math.inf


def _reachable(target: Any, task: str | None) -> bool:
    lowest = -math.inf if task == "regression" else 0
    return _is_number(target) and lowest < target <= 1


def _name(function: Any) -> str:
    return getattr(function, "__qualname__", type(function).__qualname__)


def _described(choice: Any) -> Any:
    """A loss or metric, or those of several heads, as plain values."""
    if isinstance(choice, Mapping):
        return {head: _described(each) for head, each in choice.items()}
    return choice if choice is None or isinstance(choice, str) else _name(choice)
