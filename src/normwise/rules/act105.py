"""ACT105: activations that no longer vary with the input."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt

from normwise.evidence import Evidence, Graph, Level, Module, Node
from normwise.rules.finding import Finding
from normwise.rules.flow import ELEMENTWISE, LAYERS, measured_layers
from normwise.rules.rule import NotEnough, Rule


@dataclass(frozen=True)
class VanishingActivations(Rule):
    """What the network makes of different inputs grows equal from layer to layer.

    What it does:
        Compares by how much the units of each hidden layer vary over the last measured batches
        with the first layer. A layer counts only where its output goes on to further layers and
        nowhere else: beside a residual connection or before a norm, a small output does no harm.

    Why it is bad:
        The last layers cannot tell the inputs apart, and gradients shrink alike on their way back.

    Example:
        Ten layers with ReLU and torch's default initial weights, which shrink the signal to 0.4
        in each.

    Fix:
        Draw weights with a variance of 2 / fan-in (`nn.init.kaiming_normal_`), put a norm in each
        layer, or use residual connections.

    References:
        Glorot, Bengio: Understanding the difficulty of training deep feedforward neural networks
        (2010), section 4.

    Attributes:
        least: the share of the first layer's variation below which it is reported.
    """

    code = "ACT105"
    name = "vanishing-activations"
    level = "warning"
    since = "0.1.0"
    needs = Level.FORWARD

    least: float = 1e-3

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per network, at the first layer that hardly varies."""
        graph, layers = evidence.graph, measured_layers(evidence)
        if graph is None or all(len(each) < 2 for each in layers.values()):
            raise NotEnough("the outputs of fewer than two layers were measured")
        for calls in layers.values():
            first = _spread(calls[0][1])
            for node, module in calls[1:]:
                share = _spread(module) / first if first > 0 else float("nan")
                if 0 < share < self.least and _goes_on_alone(graph, node):
                    yield self.finding(
                        module.path,
                        f"the output here varies by {share:.1g} of what the output of "
                        f"{calls[0][1].path} does",
                        "draw weights with nn.init.kaiming_normal_, put a norm in each layer, or "
                        "use residual connections",
                        value=share,
                        threshold=self.least,
                        confidence=0.8,
                    )
                    break


def _spread(module: Module) -> float:
    recent = module.output.recent if module.output else None
    return sqrt(recent.var.mean()) if recent is not None else float("nan")


def _goes_on_alone(graph: Graph, node: Node) -> bool:
    takers = graph.consumers(node, ELEMENTWISE)
    return bool(takers) and all(taker.name in LAYERS for taker in takers)
