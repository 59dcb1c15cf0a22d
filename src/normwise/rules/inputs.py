"""What networks are given, where a layer with weights takes it as it is."""

from normwise.evidence import Batches, Evidence, Graph, Node, Units
from normwise.evidence.graph import THROUGH
from normwise.rules.dropping import DROPOUTS
from normwise.rules.flow import NORMS, WEIGHTED
from normwise.rules.norming import lies_within
from normwise.rules.rule import NotEnough

_PASSED_ON = THROUGH | DROPOUTS


def raw_inputs(evidence: Evidence) -> dict[str, Units]:
    """Return the inputs of modules that the program calls, by path of the module.

    Networks that begin with a norm need no prepared inputs and are left out.

    Raises:
        NotEnough: no network is known to put its inputs into a layer as they are.
    """
    if evidence.graph is None:
        raise NotEnough("the calls of functions could not be seen")
    given = [b for b in evidence.batches if b.input is not None and b.input.finite]
    takers = {batches.entry: _taker(evidence.graph, batches) for batches in given}
    known = {entry: taker.name for entry, taker in takers.items() if taker is not None}
    if not (WEIGHTED | NORMS) & set(known.values()):
        raise NotEnough("no network puts inputs of floating-point numbers into a layer as they are")
    return {
        batches.entry: batches.input
        for batches in given
        if batches.input is not None and known.get(batches.entry) in WEIGHTED
    }


def _taker(graph: Graph, batches: Batches) -> Node | None:
    """Return the first call within a module that takes its input for more than to pass it on."""
    for node in graph.nodes:
        within = node.module is not None and lies_within(node.module, batches.entry)
        if within and node.shapes and node.shapes[0][1:] == batches.shape[1:]:
            takers = graph.consumers(node, _PASSED_ON) if node.name in _PASSED_ON else [node]
            return takers[0] if takers else None
    return None
