"""SGD with momentum for many runs at once, each with settings of its own."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from normwise.stack.dials import Dials
from normwise.stack.gradients import clipped, decay, limits, penalised, written
from normwise.stack.penalties import StackedShrinking, like
from normwise.stack.products import Gradient, Product
from normwise.stack.recipes import Recipe


class Momentum:
    """SGD as torch does it, with per-run momentum, some of which may be 0, and clipping.

    With weight decay λ, momentum μ and learning rate η: g ← g + λ w, b ← μ b + g, d = b, or with
    Nesterov's momentum d = g + μ b, and w ← w - η d. torch begins with b = g, which is the same
    with b = 0 before the first step.

    A gradient that is only added to b is not written down, where it is a product.
    """

    def __init__(
        self, weights: Sequence[Tensor], recipes: Sequence[Recipe], shrinking: StackedShrinking
    ) -> None:
        self._weights, self._recipes, self._dials = list(weights), list(recipes), Dials(recipes)
        self._shrinking = shrinking
        self._sums = [torch.zeros_like(weight) for weight in weights]
        self._settings: list[dict[str, Any]] = [recipe.options() for recipe in recipes]
        self._limits = limits(recipes, weights[0].device)
        decays = [recipe.weight_decay or 0.0 for recipe in recipes]
        self._decays = self._numbers(decays) if any(decays) else None
        nesterov = [float(recipe.nesterov) for recipe in recipes]
        self._nesterov = self._numbers(nesterov) if any(nesterov) else None
        self._set_rates()

    @property
    def rates(self) -> list[float]:
        """The learning rate of every run's next step."""
        return [float(setting["lr"]) for setting in self._settings]

    def step(self, gradients: Sequence[Gradient]) -> None:
        """Update all weights by their gradients."""
        whole = penalised(gradients, self._weights, self._shrinking)
        if self._limits is not None:
            whole = clipped(written(whole), self._limits)
        elif self._nesterov is not None:
            whole = written(whole)
        decay(self._weights, whole, self._shrinking, self.rates)
        for weight, sums, gradient in zip(self._weights, self._sums, whole, strict=True):
            if gradient is not None:
                direction = self._direction(weight, sums, gradient)
                weight.addcmul_(direction, like(self._rates, weight), value=-1)
        if self._dials.step():
            self._set_rates()

    def _direction(self, weight: Tensor, sums: Tensor, gradient: Tensor | Product) -> Tensor:
        """Add a gradient to the running sums; return where a weight goes."""
        sums.mul_(like(self._momenta, weight))
        if isinstance(gradient, Product):
            if self._decays is not None:
                sums.addcmul_(weight, like(self._decays, weight))
            gradient.add_to(sums, [1.0] * len(weight))
            return sums
        if self._decays is not None:
            gradient = torch.addcmul(gradient, weight, like(self._decays, weight))
        sums.add_(gradient)
        if self._nesterov is None:
            return sums
        ahead = torch.addcmul(gradient, sums, like(self._momenta, weight))
        return torch.where(like(self._nesterov, weight) > 0, ahead, sums)

    def evaluated(self, losses: Sequence[float]) -> None:
        """Take note of every run's validation loss."""
        self._dials.evaluated(losses)
        self._set_rates()

    def keep(self, weights: Sequence[Tensor], runs: Sequence[int]) -> "Momentum":
        """Return the optimizer of the remaining runs, with what it has accumulated for them."""
        recipes = [self._recipes[run] for run in runs]
        fewer = Momentum(weights, recipes, self._shrinking.of(runs))
        fewer._sums = [sums[list(runs)] for sums in self._sums]
        fewer._dials = self._dials.of(runs)
        fewer._set_rates()
        return fewer

    def _set_rates(self) -> None:
        """Note the learning rates and momenta of the moment."""
        self._dials.set(self._settings)
        self._rates = self._numbers([setting["lr"] for setting in self._settings])
        self._momenta = self._numbers([setting["momentum"] for setting in self._settings])

    def _numbers(self, numbers: Sequence[float]) -> Tensor:
        return torch.tensor(numbers, dtype=torch.float64, device=self._weights[0].device)
