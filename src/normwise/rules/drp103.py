"""DRP103: dropout on what the network puts out."""

from collections.abc import Iterator
from dataclasses import dataclass

from normwise.evidence import Evidence, Graph, Level, Node
from normwise.evidence.losses import LOSSES
from normwise.rules.dropping import dropouts, rate
from normwise.rules.finding import Finding
from normwise.rules.flow import ELEMENTWISE
from normwise.rules.rule import NotEnough, Rule

_THROUGH = ELEMENTWISE | {"softmax", "log_softmax", "exp", "log", "clamp"}
_DIFFERENCES = ("sub", "__sub__", "__rsub__")


@dataclass(frozen=True)
class DropoutBeforeOutput(Rule):
    """Dropout sets parts of the network's output to zero, with no layer behind it.

    What it does:
        Follows the result of each dropout through activations and reshaping. It is reported where
        that ends in a loss, or in a difference that the training loop computes. Dropout before the
        last layer is usual and fine.

    Why it is bad:
        No layer is left that could make up for what is missing: the loss of a dropped output
        is that of the answer 0, so the network learns to put out too much elsewhere.

    Example:
        `nn.Sequential(nn.Linear(64, 10), nn.Dropout(0.5))`, trained with cross-entropy.

    Fix:
        Put the dropout before the last layer.

    References:
        Srivastava et al.: Dropout: A Simple Way to Prevent Neural Networks from Overfitting
        (2014), section 4: dropout is applied to inputs and hidden units.
    """

    code = "DRP103"
    name = "dropout-before-output"
    level = "warning"
    since = "0.1.0"
    needs = Level.BACKWARD

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per module that calls dropout."""
        graph = evidence.graph
        if graph is None:
            raise NotEnough("the calls of functions could not be seen")
        found = {node.module: node for node in dropouts(graph) if _reaches_loss(graph, node)}
        for module, node in found.items():
            yield self.finding(
                module or "",
                f"with p={rate(node):g} the outputs themselves are dropped: no layer comes behind",
                "put dropout before the last layer",
                value=rate(node),
                threshold=0.0,
            )


def _reaches_loss(graph: Graph, dropout: Node) -> bool:
    return any(
        taker.name in LOSSES.values() or (taker.module is None and taker.name in _DIFFERENCES)
        for taker in graph.consumers(dropout, _THROUGH)
    )
