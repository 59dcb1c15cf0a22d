"""Loss and metric of networks in evaluation mode."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from normwise.data import Split
from normwise.stack.objective import Objective

_ROWS = 1024  # samples that a network takes at once

Scores = tuple[float, float]


def evaluate(
    forwards: Sequence[Callable[[Tensor], Tensor]], objective: Objective, split: Split
) -> list[Scores]:
    """Return the mean loss and the metric of each network on a split.

    All of them see one part of the split before any sees the next: it stays in the cache.

    Args:
        forwards: from samples to a network's output.
        objective: of all.
        split: to score on.
    """
    losses: list[list[Tensor]] = [[] for _ in forwards]
    tallies: list[list[Tensor]] = [[] for _ in forwards]
    with torch.no_grad():
        for x, y in zip(split.x.split(_ROWS), split.y.split(_ROWS), strict=True):
            for run, forward in enumerate(forwards):
                output = forward(x)
                losses[run].append(objective.loss(output, y).double() * len(y))
                tallies[run].append(objective.tally(output, y))
    return [
        (float(sum(loss) / len(split.y)), objective.score(torch.stack(tally).sum(0), split.y))
        for loss, tally in zip(losses, tallies, strict=True)
    ]
