"""Which networks care whether they are in training or in evaluation mode."""

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from normwise.evidence import Evidence, Passes
from normwise.rules.flow import entry
from normwise.rules.norming import lies_within
from normwise.trace.functions import DROPOUT_TYPES


def differs_by_mode(evidence: Evidence, entry: str) -> bool:
    """Whether dropout or running statistics lie within a module."""
    modules = (m.module for p, m in evidence.modules.items() if lies_within(p, entry))
    return any(drops(module) or _tracks(module) for module in modules)


def drops(module: nn.Module) -> bool:
    """Whether a module sets values to zero at random in training mode."""
    if isinstance(module, DROPOUT_TYPES):
        return module.p > 0
    return isinstance(module, nn.RNNBase | nn.MultiheadAttention) and module.dropout > 0


def _tracks(module: nn.Module) -> bool:
    return isinstance(module, _NormBase) and module.track_running_stats


def by_entry(evidence: Evidence) -> dict[str, list[Passes]]:
    """Return the passes of each module that the program calls."""
    found: dict[str, list[Passes]] = {}
    for passes in evidence.passes:
        found.setdefault(passes.entry, []).append(passes)
    return found


def takers(evidence: Evidence, called: str) -> set[str]:
    """Return the other modules called by the program into which a module's output goes."""
    if evidence.graph is None:
        return set()
    own = [n for n in evidence.graph.nodes if n.module is not None]
    own = [n for n in own if entry(evidence, n.module) == called]
    into = {entry(evidence, t.module) for n in own for t in evidence.graph.consumers(n)}
    return {taker for taker in into if taker is not None} - {called}
