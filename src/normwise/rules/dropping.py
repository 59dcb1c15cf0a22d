"""Which calls of dropout really drop something."""

from normwise.evidence import Graph, Node
from normwise.trace.functions import DROPOUT_FUNCTIONS

DROPOUTS = frozenset(DROPOUT_FUNCTIONS.values())


def dropouts(graph: Graph) -> list[Node]:
    """Return the calls of dropout that were on and had a probability above 0."""
    return [node for node in graph.named(*DROPOUTS) if rate(node) > 0]


def rate(node: Node) -> float:
    """Return the probability with which a call of dropout drops a value; 0 where it is off."""
    options = node.options
    on = options.get("training", options.get("train", options.get(2, True)))
    p = options.get("p", options.get(1, 0.5))
    return float(p) if on and isinstance(p, int | float) else 0.0
