"""NRM109: weight decay where it has no use."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from normwise.evidence import Evidence, Level, Optimizer
from normwise.rules.finding import Finding
from normwise.rules.rule import NotEnough, Rule
from normwise.trace.functions import NORM_TYPES


@dataclass(frozen=True)
class WeightDecayOnNormsAndBiases(Rule):
    """The optimizer decays the weights of norms, and biases, towards zero.

    What it does:
        Looks for parameter groups with weight decay that hold parameters of norms, or biases.

    Why it is bad:
        Decay is there to keep weights small that multiply inputs. The gains of norms are wanted
        near 1 and biases have nothing to overfit; decay only pulls them away from where they fit.
        The effect is mostly small.

    Example:
        `AdamW(model.parameters(), weight_decay=0.1)` of a network with norms.

    Fix:
        Give norms and biases a parameter group of their own with `weight_decay=0`.

    References:
        He et al.: Bag of Tricks for Image Classification with Convolutional Neural Networks
        (2019), "no bias decay".
    """

    code = "NRM109"
    name = "weight-decay-on-norms-and-biases"
    level = "info"
    since = "0.1.0"
    needs = Level.STRUCTURE

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per optimizer."""
        if not any(parameter.optimizers for parameter in evidence.parameters.values()):
            raise NotEnough("no optimizer of this network was seen")
        for optimizer in evidence.optimizers:
            decayed = _decayed(evidence, optimizer)
            if decayed:
                strongest = max(decayed.values())
                yield self.finding(
                    optimizer.type,
                    f"weight decay of {strongest:g} pulls {len(decayed)} parameters of norms and "
                    f"biases towards 0, such as {next(iter(decayed))}",
                    "give norms and biases a parameter group of their own with weight_decay=0",
                    value=float(len(decayed)),
                    threshold=0.0,
                )


def _decayed(evidence: Evidence, optimizer: Optimizer) -> dict[str, float]:
    """Return the weight decay of each norm's parameter and each bias, where it has any."""
    return {
        name: group["weight_decay"]
        for group, names in zip(optimizer.groups, optimizer.parameters, strict=True)
        for name in names
        if name is not None and group.get("weight_decay") and _is_gain_or_bias(evidence, name)
    }


def _is_gain_or_bias(evidence: Evidence, name: str) -> bool:
    parameter = evidence.parameters[name]
    owner: nn.Module | None = None
    if parameter.module in evidence.modules:
        owner = evidence.modules[parameter.module].module
    named_bias = name.rpartition(".")[2].startswith("bias")
    return parameter.parameter.requires_grad and (isinstance(owner, NORM_TYPES) or named_bias)
