"""What is done to the gradients and weights of many runs before their optimizer's step."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from normwise.stack.penalties import StackedShrinking, like
from normwise.stack.products import Gradient, Product
from normwise.stack.recipes import Recipe


def penalised(
    gradients: Sequence[Gradient], weights: Sequence[Tensor], shrinking: StackedShrinking
) -> list[Gradient]:
    """Return gradients with those of the L1 and L2 terms, where there are any.

    Args:
        gradients: of all runs, each `(runs, ...)`; a product stays one where nothing is added.
        weights: likewise.
        shrinking: the terms' strengths.
    """
    whole = list(gradients)
    for place, (weight, l1, l2) in enumerate(zip(weights, shrinking.l1, shrinking.l2, strict=True)):
        if whole[place] is None or (l1 is None and l2 is None):
            continue
        [gradient] = written([whole[place]])
        assert gradient is not None
        if l1 is not None:
            gradient = torch.addcmul(gradient, weight.sign(), like(l1, weight))
        if l2 is not None:
            gradient = torch.addcmul(gradient, weight, like(l2, weight), value=2)
        whole[place] = gradient
    return whole


def decay(
    weights: Sequence[Tensor],
    gradients: Sequence[Gradient],
    shrinking: StackedShrinking,
    rates: Sequence[float],
) -> None:
    """Multiply the weights that are about to be updated, where their decay is decoupled.

    Args:
        weights: of all runs, each `(runs, ...)`; changed in place.
        gradients: likewise; a weight without one is left alone.
        shrinking: the strengths.
        rates: learning rates of the moment, one per run.
    """
    if not any(wd is not None for wd in shrinking.wd):
        return
    now = torch.tensor(rates, dtype=torch.float64, device=weights[0].device)
    for weight, gradient, wd in zip(weights, gradients, shrinking.wd, strict=True):
        if gradient is not None and wd is not None:
            weight.mul_(like(1 - now * wd, weight))


def limits(recipes: Sequence[Recipe], device: torch.device) -> Tensor | None:
    """Return the largest norm of every run's gradient, shape (runs,); None where all may be any."""
    clips = [math.inf if recipe.clip is None else recipe.clip for recipe in recipes]
    if min(clips) == math.inf:
        return None
    return torch.tensor(clips, dtype=torch.float64, device=device)


def written(gradients: Sequence[Gradient]) -> list[Tensor | None]:
    """Return gradients with all products computed."""
    return [g.value() if isinstance(g, Product) else g for g in gradients]


def clipped(gradients: Sequence[Tensor | None], limits: Tensor) -> list[Tensor | None]:
    """Scale every run's gradients so that their norm is at most its limit.

    Args:
        gradients: of all runs, each `(runs, ...)`.
        limits: shape (runs,).
    """
    squares = [g.flatten(1).double().square().sum(1) for g in gradients if g is not None]
    norms = torch.stack(squares).sum(0).sqrt()
    factors = (limits / (norms + 1e-6)).clamp(max=1)  # as torch.nn.utils.clip_grad_norm_ does
    return [None if g is None else g * like(factors, g) for g in gradients]
