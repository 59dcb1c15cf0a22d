"""OPT102: an optimizer that holds the parameters of another network."""

from collections.abc import Iterator
from dataclasses import dataclass

from normwise.evidence import Evidence, Level
from normwise.rules.finding import Finding
from normwise.rules.rule import NotEnough, Rule


@dataclass(frozen=True)
class OptimizerOfAnotherModel(Rule):
    """Gradients arrive in this network, but the optimizer that steps holds another one's.

    What it does:
        Looks whether the network gets gradients while every optimizer that steps holds nothing but
        parameters of networks that are not watched.

    Why it is bad:
        The network that is run never changes, and the one that would change is never run.

    Example:
        A network that was made anew, copied or loaded after the optimizer had been made.

    Fix:
        Make the optimizer from the parameters of the network that is trained, after it has got
        its final form.

    References:
        PyTorch documentation: torch.optim, "Constructing it".
    """

    code = "OPT102"
    name = "optimizer-of-another-model"
    level = "error"
    since = "0.1.0"
    needs = Level.TRAINING

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per optimizer."""
        stepping = [optimizer for optimizer in evidence.optimizers if optimizer.steps]
        reached = [p for p in evidence.parameters.values() if p.has_gradient]
        if not stepping or not reached:
            raise NotEnough("no gradients of this network and steps of an optimizer were seen")
        if any(parameter.optimizers for parameter in evidence.parameters.values()):
            return
        for optimizer in stepping:
            held = sum(map(len, optimizer.parameters))
            yield self.finding(
                optimizer.type,
                f"none of its {held} parameters is part of the network, of which {len(reached)} "
                "get gradients",
                "make the optimizer from the parameters of this very network",
                value=float(held),
                threshold=0.0,
                confidence=0.9,
            )
