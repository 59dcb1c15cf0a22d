"""torch's optimizers by name, for one run or for a stack of them."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

OPTIMIZERS = ("sgd", "adam", "adamw")

_KINDS: dict[str, type[torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}
_FUSED_ON = ("cpu", "cuda")


@dataclass(frozen=True)
class Recipe:
    """How one run updates its weights; names, meaning and defaults are those of `torch.optim`.

    Attributes:
        optimizer: `sgd`, `adam` or `adamw`.
        lr: learning rate.
        momentum: of SGD.
        nesterov: Nesterov's momentum, for SGD.
        weight_decay: an L2 term in the gradient for SGD and Adam, decoupled for AdamW; None means
            torch's default (0, for AdamW 0.01).

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

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Return torch's optimizer for these parameters."""
        return _build([self], [[p for p in parameters if p.requires_grad]])

    def options(self) -> dict[str, Any]:
        """Return the arguments of torch's optimizer."""
        options = {name: value for name, value in asdict(self).items() if value is not None}
        del options["optimizer"]
        if self.optimizer != "sgd":
            del options["momentum"], options["nesterov"]
        return options


class StackedOptimizer:
    """Updates stacked weights, each run by its own recipe.

    It is torch's optimizer: neighbouring runs with one recipe are one of its parameter groups,
    whose parameters are slices of the stacked weights.

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

    def step(self, gradients: Sequence[Tensor | None]) -> None:
        """Update all weights by their gradients; one without is left as it is."""
        for span, slices in zip(self._spans, self._slices, strict=True):
            for weight, gradient in zip(slices, gradients, strict=True):
                weight.grad = None if gradient is None else gradient[span]
        self._optimizer.step()

    def keep(self, weights: Sequence[Tensor], runs: Sequence[int]) -> "StackedOptimizer":
        """Return the optimizer of the remaining runs, with what it has accumulated for them.

        Args:
            weights: of the remaining runs.
            runs: their positions.
        """
        fewer = StackedOptimizer(weights, [self._recipes[run] for run in runs])
        for span, slices in zip(fewer._spans, fewer._slices, strict=True):
            for position, weight in enumerate(slices):
                fewer._optimizer.state[weight] = self._state(position, runs[span])
        return fewer

    def _state(self, position: int, runs: Sequence[int]) -> dict[str, Tensor]:
        """What torch keeps for one weight of runs that share a recipe."""
        states, rows = [], []
        for run in runs:
            place = next(i for i, span in enumerate(self._spans) if run < span.stop)
            states.append(self._optimizer.state.get(self._slices[place][position], {}))
            rows.append(run - self._spans[place].start)
        return {
            name: value.clone()  # the count of steps, which all runs share
            if value.ndim == 0
            else torch.stack([s[name][row] for s, row in zip(states, rows, strict=True)])
            for name, value in states[0].items()
            if isinstance(value, Tensor)
        }


def _spans(recipes: Sequence[Recipe]) -> Iterable[slice]:
    start = 0
    for _, same in groupby(recipes):
        stop = start + len(list(same))
        yield slice(start, stop)
        start = stop


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
