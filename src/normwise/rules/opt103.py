"""OPT103: gradients of earlier steps that were never cleared."""

from collections.abc import Iterator
from dataclasses import dataclass

from normwise.evidence import Evidence, Level
from normwise.rules.finding import Finding
from normwise.rules.rule import NotEnough, Rule


@dataclass(frozen=True)
class StaleGradients(Rule):
    """Every step adds its gradients to those of all steps before.

    What it does:
        Follows one parameter's gradient from step to step and tells whether anything cleared it
        before the next step. Accumulation over micro-batches clears it once per step, an
        adversarial training between the steps of each optimizer: neither is reported.

    Why it is bad:
        The optimizer follows the sum of all gradients so far, which is like momentum of 1: the
        steps grow and overshoot.

    Example:
        A loop without `optimizer.zero_grad()`.

    Fix:
        Call `optimizer.zero_grad()` before each backward pass, or each group of accumulated ones.

    References:
        PyTorch recipes: Zeroing out gradients in PyTorch.

    Attributes:
        most: the share of steps above which it is reported.
        steps: how many steps must have been seen.
    """

    code = "OPT103"
    name = "stale-gradients"
    level = "error"
    since = "0.1.0"
    needs = Level.TRAINING

    most: float = 0.5
    steps: int = 3

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per optimizer."""
        judged = [o for o in evidence.optimizers if o.judged >= self.steps]
        if not judged:
            raise NotEnough(f"no optimizer made {self.steps} steps that could be followed")
        for optimizer in judged:
            share = optimizer.stale / (optimizer.judged - 1)  # the first step has none before it
            if share > self.most:
                yield self.finding(
                    optimizer.type,
                    f"at {optimizer.stale} of {optimizer.judged} steps the gradients of earlier "
                    "steps had not been cleared",
                    "call optimizer.zero_grad() before each backward pass",
                    value=share,
                    threshold=self.most,
                )
