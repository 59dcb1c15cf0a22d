"""Optimizers of stacked weights: each run is updated by its own recipe, numerically as by torch."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Protocol

import torch
from torch import Tensor

from normwise.stack.dials import Dials
from normwise.stack.gradients import clipped, decay, limits, penalised, written
from normwise.stack.momentum import Momentum
from normwise.stack.penalties import StackedShrinking, like
from normwise.stack.products import Gradient, Product
from normwise.stack.recipes import Recipe, build


class StackedOptimizer(Protocol):
    """Updates the weights of all runs in place."""

    @property
    def rates(self) -> list[float]:
        """The learning rate of every run's next step."""
        ...

    def step(self, gradients: Sequence[Gradient]) -> None:
        """Update all weights by their gradients; one without is left as it is."""
        ...

    def evaluated(self, losses: Sequence[float]) -> None:
        """Take note of every run's validation loss."""
        ...

    def keep(self, weights: Sequence[Tensor], runs: Sequence[int]) -> "StackedOptimizer":
        """Return the optimizer of the remaining runs, with what it has accumulated for them.

        Args:
            weights: of the remaining runs.
            runs: their positions.
        """
        ...


def stacked_optimizer(
    weights: Sequence[Tensor], recipes: Sequence[Recipe], shrinking: StackedShrinking
) -> StackedOptimizer:
    """Return the optimizer of stacked weights.

    Args:
        weights: of all runs, each `(runs, ...)` and contiguous; updated in place.
        recipes: one per run; all of one kind of optimizer.
        shrinking: what keeps the weights small.
    """
    if any(recipe.optimizer != "sgd" for recipe in recipes):
        return ByGroups(weights, recipes, shrinking)
    plain = all(not recipe.momentum and recipe.clip is None for recipe in recipes)
    return (PlainDescent if plain else Momentum)(weights, recipes, shrinking)


class PlainDescent:
    """SGD without momentum: all runs at once, with a learning rate for each.

    It needs a gradient for nothing but to subtract it, so products are not written down: they go
    into the weights as they are computed.
    """

    def __init__(
        self, weights: Sequence[Tensor], recipes: Sequence[Recipe], shrinking: StackedShrinking
    ) -> None:
        self._weights, self._recipes, self._dials = list(weights), list(recipes), Dials(recipes)
        self._shrinking = shrinking
        self._settings: list[dict[str, Any]] = [{"lr": recipe.lr} for recipe in recipes]
        self._set_rates()

    @property
    def rates(self) -> list[float]:
        """The learning rate of every run's next step."""
        return [float(setting["lr"]) for setting in self._settings]

    def step(self, gradients: Sequence[Gradient]) -> None:
        """Update all weights by their gradients."""
        pulls, shares = self._pulls, self._shares
        for weight, gradient, pull, share in zip(
            self._weights, gradients, pulls, shares, strict=True
        ):
            if gradient is None:
                continue
            pulled = None if pull is None else weight.sign().mul_(like(pull, weight))
            if share is not None:
                weight.mul_(like(share, weight))
            if pulled is not None:
                weight.sub_(pulled)
            if isinstance(gradient, Product):
                gradient.add_to(weight, self._factors)
            else:
                weight.addcmul_(gradient, like(self._rates, weight), value=-1)
        if self._dials.step():
            self._set_rates()

    def evaluated(self, losses: Sequence[float]) -> None:
        """Take note of every run's validation loss."""
        self._dials.evaluated(losses)
        self._set_rates()

    def keep(self, weights: Sequence[Tensor], runs: Sequence[int]) -> "PlainDescent":
        """Return the optimizer of the remaining runs."""
        recipes = [self._recipes[run] for run in runs]
        fewer = PlainDescent(weights, recipes, self._shrinking.of(runs))
        fewer._dials = self._dials.of(runs)
        fewer._set_rates()
        return fewer

    def _set_rates(self) -> None:
        """Note the learning rate, and by how much the weights shrink at it.

        Of itself a weight keeps a share: what the two kinds of weight decay leave, one after the
        other, less the gradient of the L2 term. The L1 term pulls all weights equally far.
        """
        self._dials.set(self._settings)
        device, shrinking = self._weights[0].device, self._shrinking
        rates = [setting["lr"] for setting in self._settings]
        decays = [recipe.weight_decay or 0.0 for recipe in self._recipes]
        self._factors = [-rate for rate in rates]
        self._rates = torch.tensor(rates, dtype=torch.float64, device=device)
        kept = None
        if any(decays):
            kept = 1 - self._rates * torch.tensor(decays, dtype=torch.float64, device=device)
        self._pulls = [None if l1 is None else self._rates * l1 for l1 in shrinking.l1]
        self._shares = [
            self._share(kept, l2, wd) for l2, wd in zip(shrinking.l2, shrinking.wd, strict=True)
        ]

    def _share(self, kept: Tensor | None, l2: Tensor | None, wd: Tensor | None) -> Tensor | None:
        """What one weight of every run keeps of itself in a step."""
        if wd is not None:
            kept = (1 - self._rates * wd) * (1 if kept is None else kept)
        if l2 is not None:
            kept = (1 if kept is None else kept) - 2 * self._rates * l2
        return kept


class ByGroups:
    """torch's own optimizer.

    Neighbouring runs that it updates alike are one of its parameter groups, whose parameters are
    slices of the stacked weights. Where the learning rate depends on how a run goes, every run is a
    group.
    """

    def __init__(
        self, weights: Sequence[Tensor], recipes: Sequence[Recipe], shrinking: StackedShrinking
    ) -> None:
        self._recipes, self._dials = list(recipes), Dials(recipes)
        self._weights = [weight.detach() for weight in weights]
        self._shrinking = shrinking
        self._spans = list(_spans(recipes))
        self._slices = [[weight.detach()[span] for weight in weights] for span in self._spans]
        self._optimizer = build([recipes[span.start] for span in self._spans], self._slices)
        groups = self._optimizer.param_groups
        self._settings = [groups[self._place(run)] for run in range(len(recipes))]
        self._dials.set(self._settings)
        self._limits = limits(recipes, weights[0].device)

    @property
    def rates(self) -> list[float]:
        """The learning rate of every run's next step."""
        return [float(setting["lr"]) for setting in self._settings]

    def step(self, gradients: Sequence[Gradient]) -> None:
        """Update all weights by their gradients."""
        whole = written(penalised(gradients, self._weights, self._shrinking))
        if self._limits is not None:
            whole = clipped(whole, self._limits)
        for span, slices in zip(self._spans, self._slices, strict=True):
            for weight, gradient in zip(slices, whole, strict=True):
                weight.grad = None if gradient is None else gradient[span]
        decay(self._weights, whole, self._shrinking, self.rates)
        self._optimizer.step()
        if self._dials.step():
            self._dials.set(self._settings)

    def evaluated(self, losses: Sequence[float]) -> None:
        """Take note of every run's validation loss."""
        self._dials.evaluated(losses)
        self._dials.set(self._settings)

    def keep(self, weights: Sequence[Tensor], runs: Sequence[int]) -> "ByGroups":
        """Return the optimizer of the remaining runs, with what it has accumulated for them."""
        recipes = [self._recipes[run] for run in runs]
        fewer = ByGroups(weights, recipes, self._shrinking.of(runs))
        fewer._dials = self._dials.of(runs)
        fewer._dials.set(fewer._settings)
        for span, slices in zip(fewer._spans, fewer._slices, strict=True):
            for position, weight in enumerate(slices):
                fewer._optimizer.state[weight] = self._state(position, runs[span])
        return fewer

    def _state(self, position: int, runs: Sequence[int]) -> dict[str, Tensor]:
        """What torch keeps for one weight of runs that share a group."""
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


def _spans(recipes: Sequence[Recipe]) -> Iterator[slice]:
    start = 0
    for _, same in groupby(recipes, key=lambda recipe: recipe.update):
        alike = list(same)
        count = len(alike)
        length = 1 if alike[0].schedule.by_result else count
        for begin in range(start, start + count, length):
            yield slice(begin, begin + length)
        start += count
