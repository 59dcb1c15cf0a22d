"""ACT104: activations that grow from layer to layer."""

from collections.abc import Iterator
from dataclasses import dataclass

from normwise.evidence import Evidence, Level, Module
from normwise.rules.finding import Finding
from normwise.rules.flow import ELEMENTWISE, LAYERS, SUMS, measured_layers
from normwise.rules.rule import NotEnough, Rule


@dataclass(frozen=True)
class ExplodingActivations(Rule):
    """Activations grow from layer to layer.

    What it does:
        Compares the root mean square of each hidden layer's output in the last measured batches
        with that of the first layer. The last layer does not count, since targets may be large,
        nor does one whose output is normalised before the next layer.

    Why it is bad:
        Gradients grow alike, so no learning rate fits all layers, and in half precision the values
        overflow.

    Example:
        Ten layers with ReLU whose weights were drawn with a standard deviation of 1.

    Fix:
        Draw weights with a variance of 2 / fan-in (`nn.init.kaiming_normal_`) or put a norm in
        each layer; scale residual branches down.

    References:
        He et al.: Delving Deep into Rectifiers (2015), section 2.2.

    Attributes:
        most: the growth above which it is reported.
        size: the root mean square that it must reach besides.
    """

    code = "ACT104"
    name = "exploding-activations"
    level = "warning"
    since = "0.1.0"
    needs = Level.FORWARD

    most: float = 1e3
    size: float = 1e2

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per network, at the first layer that is far too large."""
        graph, layers = evidence.graph, measured_layers(evidence)
        if graph is None or all(len(each) < 2 for each in layers.values()):
            raise NotEnough("the outputs of fewer than two layers were measured")
        for calls in layers.values():
            first = _rms(calls[0][1])
            for node, module in calls[1:]:
                size = _rms(module)
                takers = graph.consumers(node, ELEMENTWISE | SUMS)
                if size < max(self.size, self.most * first) or not first > 0:
                    continue
                if any(taker.name in LAYERS for taker in takers):
                    yield self.finding(
                        module.path,
                        f"the output here has a root mean square of {size:.2g}, "
                        f"{size / first:.2g} times that of {calls[0][1].path}",
                        "draw weights with nn.init.kaiming_normal_, or put a norm in each layer",
                        value=size / first,
                        threshold=self.most,
                        confidence=0.8,
                    )
                    break


def _rms(module: Module) -> float:
    recent = module.output.recent if module.output else None
    return recent.rms if recent is not None else float("nan")
