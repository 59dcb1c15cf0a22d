"""Loss and metric of networks in evaluation mode, one or many at once."""

from collections.abc import Callable

import torch
from torch import Tensor

from normwise.data import Split
from normwise.stack.forms import Masks, StackedForms
from normwise.stack.objective import Objective

_ROWS = 1024  # samples that an evaluation of one network takes at once
_ROWS_OF_ALL = 4096  # samples times networks, for many

Scores = tuple[float, float]
Forward = Callable[[Tensor], Tensor]


def evaluate(forward: Forward, objective: Objective, split: Split) -> Scores:
    """Return the mean loss and the metric on a split of a network in evaluation mode."""

    def scored(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        output = forward(x)
        return objective.loss(output, y)[None], objective.tally(output, y)[None]

    [scores] = _summed(scored, objective, split, _ROWS)
    return scores


def evaluate_all(
    forward: Forward, objective: Objective, split: Split, runs: int, rows: int
) -> list[Scores]:
    """Return mean loss and metric on a split of many networks.

    Args:
        forward: from samples, which all networks share, to their outputs, (runs, samples, ...);
            it may use torch.vmap, and is called inside of the stacked forms.
        objective: of all.
        split: to score on.
        runs: how many networks.
        rows: samples that are always taken at once; more are where there are few networks.
    """
    loss = torch.vmap(objective.loss, in_dims=(0, None))
    tally = torch.vmap(objective.tally, in_dims=(0, None))

    def scored(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        with StackedForms(Masks([])):
            outputs = forward(x)
            return loss(outputs, y), tally(outputs, y)

    return _summed(scored, objective, split, max(rows, _ROWS_OF_ALL // runs))


def _summed(
    scored: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    objective: Objective,
    split: Split,
    rows: int,
) -> list[Scores]:
    """Put together what `scored` returns of parts: mean losses and tallies of every run."""
    losses, tallies = [], []
    with torch.no_grad():
        for x, y in zip(split.x.split(rows), split.y.split(rows), strict=True):
            loss, tally = scored(x, y)
            losses.append(loss.double() * len(y))
            tallies.append(tally)
    means = (torch.stack(losses).sum(0) / len(split.y)).tolist()
    totals = torch.stack(tallies).sum(0)
    return [
        (mean, objective.score(total, split.y)) for mean, total in zip(means, totals, strict=True)
    ]
