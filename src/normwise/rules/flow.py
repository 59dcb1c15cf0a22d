"""Which layers a signal passes, in the graph of one step."""

from normwise.evidence import Evidence, Module, Node
from normwise.evidence.graph import THROUGH
from normwise.trace.functions import ACTIVATION_NAMES, DROPOUT_FUNCTIONS, NORM_FUNCTIONS

_CONVOLUTIONS = "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d"
LAYERS = frozenset({"linear", "bilinear", *_CONVOLUTIONS.split()})
"""Functions that multiply by weights."""

_COMPOSED = "embedding multi_head_attention_forward lstm gru rnn_tanh rnn_relu"
WEIGHTED = LAYERS | set(_COMPOSED.split())
"""These and layers that are made of several."""

NORMS = frozenset({*NORM_FUNCTIONS.values(), "normalize"})

_THINNING = (
    "max_pool1d max_pool2d max_pool3d avg_pool1d avg_pool2d avg_pool3d "
    "adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d "
    "adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d interpolate pad"
)
ELEMENTWISE = (
    THROUGH | set(ACTIVATION_NAMES) | set(DROPOUT_FUNCTIONS.values()) | set(_THINNING.split())
)
"""Functions of one signal, which they bend, thin out or arrange otherwise."""

SUMS = frozenset({"add", "__add__", "__radd__", "__iadd__", "sub", "cat", "stack"})
"""Functions that join signals."""


def entry(evidence: Evidence, path: str | None) -> str | None:
    """Return the module through which the program entered when it ran the one at a path."""
    if path is None:
        return None
    entries = {passes.entry for passes in evidence.passes}
    return max((e for e in entries if not e or f"{path}.".startswith(f"{e}.")), key=len, default="")


def measured_layers(evidence: Evidence) -> dict[str, list[tuple[Node, Module]]]:
    """Return the weighted modules that were measured, in order of their calls, by entry.

    A module that is called several times in the step comes as often.
    """
    found: dict[str, list[tuple[Node, Module]]] = {}
    for node in evidence.graph.nodes if evidence.graph else ():
        module = evidence.modules.get(node.module or "")
        if node.name in WEIGHTED and module is not None and module.output is not None:
            found.setdefault(entry(evidence, module.path) or "", []).append((node, module))
    return found


def feeding(evidence: Evidence, layers: list[tuple[Node, Module]]) -> set[int]:
    """Return the nodes whose result reaches one of some layers, directly or not."""
    targets = {node.index for node, _ in layers}
    found: set[int] = set()
    for node in reversed(evidence.graph.nodes if evidence.graph else ()):
        if node.index in targets or node.index in found:
            found.update(node.inputs)
    return found
