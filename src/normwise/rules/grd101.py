"""GRD101: gradients that vanish on their way to the first layers."""

from collections.abc import Iterator
from dataclasses import dataclass

from normwise.evidence import Evidence, Level, Module
from normwise.rules.finding import Finding
from normwise.rules.rule import NotEnough, Rule


@dataclass(frozen=True)
class VanishingGradients(Rule):
    """The gradient is lost on its way from the loss to the first layers.

    What it does:
        Compares the norm of the loss's derivative by each weighted layer's output with the largest
        among the layers. Norms are kept by maps that neither stretch nor shrink, whatever their
        widths.

    Why it is bad:
        Layers that no gradient reaches stay at their random initial weights.

    Example:
        Ten layers with sigmoids, each of which shrinks the gradient at least fourfold.

    Fix:
        Use a norm in each layer, residual connections, ReLU with `init=he`, or fewer layers.

    References:
        Glorot, Bengio: Understanding the difficulty of training deep feedforward neural networks
        (2010).

    Attributes:
        least: the share of the largest norm below which a gradient counts as vanished.
    """

    code = "GRD101"
    name = "vanishing-gradients"
    level = "warning"
    since = "0.1.0"
    needs = Level.BACKWARD

    least: float = 1e-5

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding, at the layer that gets least."""
        norms = {
            path: module.gradient.mean
            for path, module in evidence.modules.items()
            if module.gradient is not None and module.gradient.count and _has_weight(module)
        }
        if len(norms) < 2:
            raise NotEnough("the gradients of fewer than two layers were measured")
        worst = min(norms, key=lambda path: norms[path])
        largest = max(norms.values())
        share = norms[worst] / largest if largest else float("nan")
        if 0 < share < self.least:
            yield self.finding(
                worst,
                f"the gradient here is {share:.1g} of the largest one",
                "use a norm in each layer, residual connections, ReLU with He's initial weights, "
                "or fewer layers",
                value=share,
                threshold=self.least,
                confidence=0.8,
            )


def _has_weight(module: Module) -> bool:
    weight = getattr(module.module, "weight", None)
    return weight is not None and weight.requires_grad and weight.ndim > 1
