"""LOS104: a prediction and a target that do not pair up."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import torch

from normwise.evidence import Evidence, Level, Loss
from normwise.rules.finding import Finding
from normwise.rules.rule import Rule

_ADVICE = "bring both to one shape: squeeze the column, or unsqueeze the list"


@dataclass(frozen=True)
class BroadcastInLoss(Rule):
    """A column of predictions meets a list of targets, and each is compared with all.

    What it does:
        Looks for losses whose input and target grow when they meet, and for differences, products
        and comparisons of (N, 1) with (N,) outside all modules. Pairs of one tensor with itself,
        as in pairwise losses, are not meant; nor are two tensors that both need gradients, or
        neither, except in comparisons.

    Why it is bad:
        (N, 1) with (N,) gives (N, N): the loss pulls every prediction to the mean of all targets,
        and an accuracy counts pairs that do not belong together.

    Example:
        `F.mse_loss(net(x), y)` with outputs of shape (64, 1) and targets of shape (64,).

    Fix:
        Bring both to one shape: `net(x).squeeze(1)` or `y.unsqueeze(1)`.

    References:
        PyTorch documentation: Broadcasting semantics.
    """

    code = "LOS104"
    name = "broadcast-in-loss"
    level = "error"
    since = "0.1.0"
    needs = Level.FORWARD

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per place."""
        growing = (loss for loss in evidence.losses if not loss.target_is_index and _grows(loss))
        for loss in {loss.place: loss for loss in sorted(growing, key=_order)}.values():
            yield self.finding(
                loss.module or loss.place,
                f"{loss.name} compares an input of shape {loss.input_shape} with a target of "
                f"shape {loss.target_shape}, each with all",
                _ADVICE,
            )
        for found in evidence.broadcasts:
            left, right = found.shapes
            yield self.finding(
                found.place,
                f"{found.name} of shapes {left} and {right} makes a matrix, at {found.count} calls",
                _ADVICE,
                confidence=0.9,
            )


def _order(loss: Loss) -> bool:
    return loss.training  # the last of a place is kept, and only in training is its module known


def _grows(loss: Loss) -> bool:
    shapes = loss.input_shape, loss.target_shape
    try:
        together = torch.broadcast_shapes(*shapes)
    except RuntimeError:
        return False
    return prod(together) > max(map(prod, shapes))
