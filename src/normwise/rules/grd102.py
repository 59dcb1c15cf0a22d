"""GRD102: gradients that grow on their way to the first layers."""

from collections.abc import Iterator
from dataclasses import dataclass

from normwise.evidence import Evidence, Graph, Level, Module, Node
from normwise.rules.finding import Finding
from normwise.rules.flow import ELEMENTWISE, NORMS, feeding, measured_layers
from normwise.rules.rule import NotEnough, Rule


@dataclass(frozen=True)
class ExplodingGradients(Rule):
    """The gradient grows on its way from the loss to the first layers.

    What it does:
        Compares the norm of the loss's derivative by each weighted layer's output with the largest
        among the layers that give the network's outputs. Layers before a norm do not count: their
        gradient grows as their output shrinks, without effect on the step.

    Why it is bad:
        The first layers are thrown about by steps that hardly move the last ones; losses jump and
        become NaN.

    Example:
        A recurrent network over long sequences whose recurrent weights have a spectral norm
        above 1.

    Fix:
        Draw smaller initial weights, use norms or residual connections, an LSTM or GRU in place of
        a plain recurrence, and clip gradients (`nn.utils.clip_grad_norm_`).

    References:
        Pascanu, Mikolov, Bengio: On the difficulty of training recurrent neural networks (2013).

    Attributes:
        most: the growth above which it is reported.
    """

    code = "GRD102"
    name = "exploding-gradients"
    level = "warning"
    since = "0.1.0"
    needs = Level.BACKWARD

    most: float = 1e3

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per network, at the layer that gets most."""
        told = False
        for calls in measured_layers(evidence).values():
            norms = {module.path: _norm(module) for _, module in calls if _norm(module) > 0}
            feeds = feeding(evidence, calls)
            last = [norms[m.path] for n, m in calls if n.index not in feeds and m.path in norms]
            told |= len(norms) > 1 and bool(last)
            for node, module in calls:
                if evidence.graph is not None and _is_normalised(evidence.graph, node):
                    norms.pop(module.path, None)
            worst = max(norms, key=lambda path: norms[path], default="")
            if last and norms and norms[worst] > self.most * max(last):
                growth = norms[worst] / max(last)
                yield self.finding(
                    worst,
                    f"the gradient here is {growth:.1g} times that of the last layer",
                    "draw smaller initial weights, use norms or residual connections, and clip "
                    "gradients",
                    value=growth,
                    threshold=self.most,
                    confidence=0.8,
                )
        if not told:
            raise NotEnough("the gradients of fewer than two layers were measured")


def _norm(module: Module) -> float:
    return module.gradient.mean if module.gradient is not None else float("nan")


def _is_normalised(graph: Graph, node: Node) -> bool:
    return any(taker.name in NORMS for taker in graph.consumers(node, ELEMENTWISE))
