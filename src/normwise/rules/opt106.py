"""OPT106: weight decay that Adam scales away."""

from collections.abc import Iterator
from dataclasses import dataclass

from normwise.evidence import Evidence, Level
from normwise.rules.finding import Finding
from normwise.rules.rule import NotEnough, Rule

_ADAPTIVE = {"Adam": "AdamW", "NAdam": "NAdam(decoupled_weight_decay=True)"}
_ADAPTIVE |= {"RAdam": "RAdam(decoupled_weight_decay=True)", "Adamax": "AdamW"}


@dataclass(frozen=True)
class L2InsideAdam(Rule):
    """Weight decay enters Adam as a gradient, where it is scaled like one.

    What it does:
        Looks for Adam, NAdam, RAdam or Adamax with a weight decay that is not decoupled. A small
        one may be L2 regularisation on purpose and is only noted; one as large as is usual for
        decoupled decay is a warning.

    Why it is bad:
        Adam divides by the size of recent gradients, the decay's part included: weights with large
        gradients are hardly decayed, and the setting means something else than in AdamW.

    Example:
        `torch.optim.Adam(net.parameters(), lr=1e-3, weight_decay=0.01)`

    Fix:
        Use `torch.optim.AdamW`, or `decoupled_weight_decay=True` where the optimizer has it.

    References:
        Loshchilov, Hutter: Decoupled Weight Decay Regularization (2019).

    Attributes:
        large: the weight decay from which on it is a warning.
    """

    code = "OPT106"
    name = "l2-inside-adam"
    level = "warning"
    since = "0.1.0"
    needs = Level.STRUCTURE

    large: float = 0.01

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per optimizer."""
        if not evidence.optimizers:
            raise NotEnough("no optimizer was seen")
        for optimizer in evidence.optimizers:
            if optimizer.type not in _ADAPTIVE:
                continue
            decays = [
                group.get("weight_decay", 0.0)
                for group in optimizer.groups
                if not group.get("decoupled_weight_decay", False)
            ]
            largest = max(decays, default=0.0)
            if largest > 0:
                yield self.finding(
                    optimizer.type,
                    f"weight_decay={largest:g} is added to the gradients, which are then rescaled",
                    f"use {_ADAPTIVE[optimizer.type]} for decay that does not depend on gradients",
                    value=float(largest),
                    threshold=self.large,
                    confidence=0.7,
                    level="warning" if largest >= self.large else "info",
                )
