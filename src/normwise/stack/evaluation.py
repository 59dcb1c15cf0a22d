"""Loss and metric of networks in evaluation mode."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from normwise.data import Split
from normwise.samples import forward
from normwise.stack.objective import Goal, Scores

ROWS = 1024  # samples that a network takes at once


def evaluate(
    networks: Sequence[Callable[..., Any]], objective: Goal, split: Split, rows: int = ROWS
) -> list[Scores]:
    """Return the mean loss and the metric of each network on a split.

    All of them see one part of the split before any sees the next: it stays in the cache.

    Args:
        networks: called with samples as their arguments.
        objective: of all.
        split: to score on; an empty one scores NaN.
        rows: samples that a network takes at once.
    """
    if not len(split):
        return [Scores(math.nan, math.nan)] * len(networks)
    losses: list[list[Tensor]] = [[] for _ in networks]
    tallies: list[list[Any]] = [[] for _ in networks]
    with torch.no_grad():
        for part in split.parts(rows):
            for run, network in enumerate(networks):
                output = forward(network, part.x)
                losses[run].append(objective.loss(output, part.y).double() * len(part))
                tallies[run].append(objective.tally(output, part.y))
    return [
        Scores(float(sum(loss) / len(split)), *objective.score(tally, split.y))
        for loss, tally in zip(losses, tallies, strict=True)
    ]
