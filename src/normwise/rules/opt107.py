"""OPT107: gradients that are clipped while they are still scaled."""

from collections.abc import Iterator
from dataclasses import dataclass

from normwise.evidence import Evidence, Level
from normwise.rules.finding import Finding
from normwise.rules.rule import NotEnough, Rule


@dataclass(frozen=True)
class ClippingBeforeUnscale(Rule):
    """Gradients are clipped before the gradient scaler has undone its scaling.

    What it does:
        Follows what happens to gradients between the backward pass and the optimizer's step.

    Why it is bad:
        The scaled norm is tens of thousands of times the true one, so everything is clipped, and
        dividing by the scale then shrinks the steps to nothing.

    Example:
        `clip_grad_norm_(net.parameters(), 1.0)` between `scaler.scale(loss).backward()` and
        `scaler.step(optimizer)`.

    Fix:
        Call `scaler.unscale_(optimizer)` before clipping.

    References:
        PyTorch documentation: Automatic Mixed Precision examples, "Gradient clipping".
    """

    code = "OPT107"
    name = "clipping-before-unscale"
    level = "error"
    since = "0.1.0"
    needs = Level.TRAINING

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per optimizer."""
        seen = [optimizer for optimizer in evidence.optimizers if optimizer.edits]
        if not seen:
            raise NotEnough("no step was measured from its backward pass on")
        for optimizer in seen:
            edits = optimizer.edits or {}
            wrong = sum(count for order, count in edits.items() if _is_wrong(order))
            if wrong:
                yield self.finding(
                    optimizer.type,
                    f"gradients were clipped while still scaled at {wrong} of "
                    f"{sum(edits.values())} measured steps",
                    "call scaler.unscale_(optimizer) before clipping",
                    value=wrong / sum(edits.values()),
                    threshold=0.0,
                )


def _is_wrong(order: tuple[str, ...]) -> bool:
    return "unscale" in order and "clip" in order[: order.index("unscale")]
