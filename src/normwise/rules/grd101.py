"""GRD101: gradients that vanish on their way to the first layers."""

from collections.abc import Iterator
from dataclasses import dataclass

from normwise.evidence import Evidence, Level, Module
from normwise.rules.finding import Finding
from normwise.rules.flow import feeding, measured_layers
from normwise.rules.rule import NotEnough, Rule


@dataclass(frozen=True)
class VanishingGradients(Rule):
    """The gradient is lost on its way from the loss to the first layers.

    What it does:
        Compares the norm of the loss's derivative by each weighted layer's output with the largest
        among the layers. Norms are kept by maps that neither stretch nor shrink, whatever their
        widths. A side branch is not reported, such as the queries of attention that is still even,
        where a layer before it or beside it gets its share.

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
        largest = max(norms.values())
        faint = [path for path in norms if 0 < norms[path] < self.least * largest]
        lost = [p for p in faint if not _passed_by(evidence, p) & (norms.keys() - faint)]
        if lost:
            worst = min(lost, key=lambda path: norms[path])
            share = norms[worst] / largest
            yield self.finding(
                worst,
                f"the gradient here is {share:.1g} of the largest one",
                "use a norm in each layer, residual connections, ReLU with He's initial weights, "
                "or fewer layers",
                value=share,
                threshold=self.least,
                confidence=0.8,
            )


def _passed_by(evidence: Evidence, path: str) -> set[str]:
    """Return the layers before a layer, and those that take the same input."""
    layers = [each for known in measured_layers(evidence).values() for each in known]
    own = [node for node, module in layers if module.path == path]
    inputs = {index for node in own for index in node.inputs}
    before = feeding(evidence, [(node, evidence.modules[path]) for node in own])
    return {m.path for n, m in layers if n.index in before or inputs & set(n.inputs)} - {path}


def _has_weight(module: Module) -> bool:
    weight = getattr(module.module, "weight", None)
    return weight is not None and weight.requires_grad and weight.ndim > 1
