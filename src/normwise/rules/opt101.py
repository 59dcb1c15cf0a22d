"""OPT101: parameters that no optimizer holds."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from normwise.evidence import Evidence, Level
from normwise.rules.finding import Finding
from normwise.rules.rule import NotEnough, Rule


@dataclass(frozen=True)
class ParametersNotInOptimizer(Rule):
    """Parameters get gradients but are in no optimizer, so they keep their random initial values.

    What it does:
        Looks for parameters that get a gradient and that none of the
        optimizers holds, where these hold other parameters of the same network.

    Why it is bad:
        That part of the network never learns, and its gradients pile up unseen.

    Example:
        A layer added after the optimizer was made, or kept in a plain list at that time.

    Fix:
        Make the optimizer from `model.parameters()` after the network is complete, or call
        `optimizer.add_param_group`. What shall stay as it is needs `requires_grad_(False)`.

    References:
        PyTorch documentation: torch.optim, "Constructing it".
    """

    code = "OPT101"
    name = "parameters-not-in-optimizer"
    level = "error"
    since = "0.1.0"
    needs = Level.BACKWARD

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per module."""
        if not any(parameter.optimizers for parameter in evidence.parameters.values()):
            raise NotEnough("no optimizer of this network was seen")
        missing: dict[str, list[str]] = defaultdict(list)
        for name, parameter in evidence.parameters.items():
            wanted = parameter.has_gradient and parameter.parameter.requires_grad
            if wanted and not parameter.optimizers:
                missing[parameter.module].append(name)
        for path, names in missing.items():
            yield self.finding(
                path,
                f"{', '.join(names)}: trained by no optimizer, though gradients arrive",
                "make the optimizer from model.parameters() once the network is complete, or call "
                "requires_grad_(False) on what shall not change",
                value=float(len(names)),
                threshold=0.0,
            )
