"""torch's optimizers by name, for one run or for a stack of them."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

from normwise.stack.products import Product
from normwise.stack.schedules import CONSTANT, Dial, Schedule

OPTIMIZERS = ("sgd", "adam", "adamw")

_KINDS: dict[str, type[torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}
_FUSED_ON = ("cpu", "cuda")


@dataclass(frozen=True)
class Recipe:
    """How one run is trained; names, meaning and defaults are those of torch.

    Attributes:
        optimizer: `sgd`, `adam` or `adamw`.
        lr: learning rate.
        momentum: of SGD.
        nesterov: Nesterov's momentum, for SGD.
        weight_decay: an L2 term in the gradient for SGD and Adam, decoupled for AdamW; None means
            torch's default (0, for AdamW 0.01).
        schedule: how the learning rate moves.
        clip: largest norm of all gradients together; longer ones are scaled down to it
            (`torch.nn.utils.clip_grad_norm_`; Pascanu et al. 2013). None leaves them.
        label_smoothing: share of the target that is spread over all classes, in the loss of
            training (Szegedy et al. 2016).

    Example:
        >>> Recipe("sgd", lr=0.1, momentum=0.9).build(nn.Linear(2, 1).parameters())
        SGD (
        ...
    """

    optimizer: str = "sgd"
    lr: float = 0.01
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float | None = None
    schedule: Schedule = CONSTANT
    clip: float | None = None
    label_smoothing: float = 0.0

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Return torch's optimizer for these parameters."""
        return _build([self], [[p for p in parameters if p.requires_grad]])

    def options(self) -> dict[str, Any]:
        """Return the arguments of torch's optimizer."""
        options: dict[str, Any] = {"lr": self.lr}
        if self.weight_decay is not None:
            options["weight_decay"] = self.weight_decay
        if self.optimizer == "sgd":
            options |= {"momentum": self.momentum, "nesterov": self.nesterov}
        return options

    def dial(self) -> Dial | None:
        """Return what turns the learning rate; None where it stays as it is."""
        if self.schedule.is_constant:
            return None
        nothing = self.build([nn.Parameter(torch.zeros(()))])
        cycles_momentum = self.optimizer != "sgd" or self.momentum > 0
        return Dial(self.schedule, nothing, cycles_momentum=cycles_momentum)


class StackedOptimizer:
    """Updates stacked weights, each run by its own recipe.

    It is torch's optimizer: neighbouring runs with one recipe are one of its parameter groups,
    whose parameters are slices of the stacked weights. Where the learning rate depends on how a run
    goes, every run is a group.

    Args:
        weights: of all runs, each `(runs, ...)` and contiguous; updated in place.
        recipes: one per run; all of one kind of optimizer.

    Raises:
        ValueError: the recipes are of several kinds.
    """

    def __init__(self, weights: Sequence[Tensor], recipes: Sequence[Recipe]) -> None:
        if len({recipe.optimizer for recipe in recipes}) > 1:
            raise ValueError("runs of a stack have one kind of optimizer")
        self._weights, self._recipes = list(weights), list(recipes)
        self._spans = list(_spans(recipes))
        self._slices = [[weight.detach()[span] for weight in weights] for span in self._spans]
        firsts = [recipes[span.start] for span in self._spans]
        self._optimizer = _build(firsts, self._slices)
        self._dials = [recipe.dial() for recipe in firsts]
        self._set_dials()
        clips = [math.inf if recipe.clip is None else recipe.clip for recipe in recipes]
        # Plain descent needs the gradient for nothing else, so it is never written down.
        self._takes_products = all(
            recipe.optimizer == "sgd" and not recipe.momentum and recipe.clip is None
            for recipe in recipes
        )
        self._clip = None
        if min(clips) < math.inf:
            self._clip = torch.tensor(clips, dtype=torch.float64, device=weights[0].device)

    def step(self, gradients: Sequence[Tensor | Product | None]) -> None:
        """Update all weights by their gradients; one without is left as it is."""
        if not self._takes_products:
            gradients = [g.value() if isinstance(g, Product) else g for g in gradients]
        if self._clip is not None:
            gradients = clipped(gradients, self._clip)
        groups = self._optimizer.param_groups
        for span, slices, group in zip(self._spans, self._slices, groups, strict=True):
            for weight, gradient in zip(slices, gradients, strict=True):
                if isinstance(gradient, Product):
                    kept = 1 - group["lr"] * group["weight_decay"]
                    gradient.add_to(weight, span.start, alpha=-group["lr"], beta=kept)
                else:
                    weight.grad = None if gradient is None else gradient[span]
        self._optimizer.step()
        for dial in filter(None, self._dials):
            dial.step()
        self._set_dials()

    def evaluated(self, losses: Sequence[float]) -> None:
        """Take note of every run's validation loss."""
        for span, dial in zip(self._spans, self._dials, strict=True):
            if dial is not None:
                dial.evaluated(losses[span.start])
        self._set_dials()

    def _set_dials(self) -> None:
        for group, dial in zip(self._optimizer.param_groups, self._dials, strict=True):
            if dial is not None:
                dial.set(group)

    def keep(self, weights: Sequence[Tensor], runs: Sequence[int]) -> "StackedOptimizer":
        """Return the optimizer of the remaining runs, with what it has accumulated for them.

        Args:
            weights: of the remaining runs.
            runs: their positions.
        """
        fewer = StackedOptimizer(weights, [self._recipes[run] for run in runs])
        fewer._dials = [self._dials[self._place(runs[span.start])] for span in fewer._spans]
        fewer._set_dials()
        for span, slices in zip(fewer._spans, fewer._slices, strict=True):
            for position, weight in enumerate(slices):
                fewer._optimizer.state[weight] = self._state(position, runs[span])
        return fewer

    def _state(self, position: int, runs: Sequence[int]) -> dict[str, Tensor]:
        """What torch keeps for one weight of runs that share a recipe."""
        states, rows = [], []
        for run in runs:
            place = self._place(run)
            states.append(self._optimizer.state.get(self._slices[place][position], {}))
            rows.append(run - self._spans[place].start)
        return {
            name: value.clone()  # the count of steps, which all runs share
            if value.ndim == 0
            else torch.stack([s[name][row] for s, row in zip(states, rows, strict=True)])
            for name, value in states[0].items()
            if isinstance(value, Tensor)
        }

    def _place(self, run: int) -> int:
        """The position of a run's group."""
        return next(i for i, span in enumerate(self._spans) if run < span.stop)


def clipped(gradients: Sequence[Any], limits: Tensor) -> list[Tensor | None]:
    """Scale every run's gradients so that their norm is at most its limit.

    Args:
        gradients: of all runs, each `(runs, ...)`.
        limits: shape (runs,).
    """
    squares = [g.flatten(1).double().square().sum(1) for g in gradients if g is not None]
    norms = torch.stack(squares).sum(0).sqrt()
    factors = (limits / (norms + 1e-6)).clamp(max=1)  # as torch.nn.utils.clip_grad_norm_ does
    return [
        None if g is None else g * factors.to(g.dtype).view(-1, *(1,) * (g.ndim - 1))
        for g in gradients
    ]


def _spans(recipes: Sequence[Recipe]) -> Iterator[slice]:
    start = 0
    for recipe, same in groupby(recipes):
        count = len(list(same))
        length = 1 if recipe.schedule.by_result else count
        for begin in range(start, start + count, length):
            yield slice(begin, begin + length)
        start += count


def _build(recipes: Sequence[Recipe], weights: Sequence[Sequence[Tensor]]) -> torch.optim.Optimizer:
    """Return one optimizer, with a parameter group for each recipe."""
    groups = [
        {"params": list(theirs), **recipe.options()}
        for recipe, theirs in zip(recipes, weights, strict=True)
    ]
    fused = all(
        weight.is_floating_point() and weight.device.type in _FUSED_ON
        for theirs in weights
        for weight in theirs
    )
    return _KINDS[recipes[0].optimizer](groups, fused=fused)  # type: ignore[call-arg]
