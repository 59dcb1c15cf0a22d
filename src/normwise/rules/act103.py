"""ACT103: two layers with nothing nonlinear between them."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from normwise.evidence import Evidence, Graph, Level, Node
from normwise.evidence.graph import THROUGH
from normwise.rules.finding import Finding
from normwise.rules.flow import LAYERS
from normwise.rules.rule import NotEnough, Rule

_AFFINE = THROUGH | {"batch_norm", "dropout", "dropout1d", "dropout2d", "dropout3d"}
_ORDINARY = (nn.Linear, nn.modules.conv._ConvNd)


@dataclass(frozen=True)
class LinearAfterLinear(Rule):
    """Two layers follow each other with no activation between them.

    What it does:
        Looks for a Linear or convolution whose output goes into one other such layer and nowhere
        else, with nothing but dropout, batch norm or reshaping between. A bottleneck, narrower
        than what goes in and what comes out, is not reported: it limits the rank. Neither are
        grouped and one-dimensional factors of a convolution, nor a first layer that is frozen.

    Why it is bad:
        The product of two matrices is a matrix: both layers together can do no more than the
        second alone, at the cost of both.

    Example:
        `nn.Sequential(nn.Linear(64, 128), nn.Linear(128, 10))`

    Fix:
        Put an activation between them, or leave one out.

    References:
        Goodfellow, Bengio, Courville: Deep Learning (2016), section 6.1.
    """

    code = "ACT103"
    name = "linear-after-linear"
    level = "warning"
    since = "0.1.0"
    needs = Level.FORWARD

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per pair, at the second layer."""
        graph = evidence.graph
        if graph is None:
            raise NotEnough("the calls of functions could not be seen")
        modules = {path: known.module for path, known in evidence.modules.items()}
        for first, second in dict.fromkeys(_pairs(graph)):
            before, after = modules.get(first), modules.get(second)
            if before is None or after is None or before is after:
                continue
            if _is_learned(before) and not _is_factor(before, after):
                yield self.finding(
                    second,
                    f"nothing nonlinear lies between {first} and this layer",
                    "put an activation between them, or leave one out",
                    confidence=0.8,
                )


def _pairs(graph: Graph) -> Iterator[tuple[str, str]]:
    """Yield the paths of layers of which the first goes into the second alone, at every call."""
    takers: dict[str, list[list[Node]]] = {}
    for node in graph.named(*LAYERS):
        if node.module is not None:
            takers.setdefault(node.module, []).append(graph.consumers(node, _AFFINE))
    for path, calls in takers.items():
        only = {taken[0].module if len(taken) == 1 else None for taken in calls}
        named = all(taken and taken[0].name in LAYERS for taken in calls)
        second = only.pop() if len(only) == 1 else None
        if named and second is not None:
            yield path, second


def _is_learned(layer: nn.Module) -> bool:
    weight = getattr(layer, "weight", None)
    return weight is not None and weight.requires_grad


def _is_factor(first: nn.Module, second: nn.Module) -> bool:
    """Whether two layers are one on purpose, with fewer parameters."""
    if not isinstance(first, _ORDINARY) or not isinstance(second, _ORDINARY):
        return True  # of the user's own making: its weights may be shared or bound
    (entering, middle), (_, leaving) = _widths(first), _widths(second)
    return middle < min(entering, leaving) or _are_parts(first, second)


def _widths(layer: nn.Module) -> tuple[int, int]:
    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features
    assert isinstance(layer, nn.modules.conv._ConvNd)
    return layer.in_channels, layer.out_channels


def _are_parts(first: nn.Module, second: nn.Module) -> bool:
    if not isinstance(first, nn.modules.conv._ConvNd):
        return False
    if not isinstance(second, nn.modules.conv._ConvNd):
        return False
    shapes = {tuple(layer.kernel_size) for layer in (first, second)}
    factors = all(1 in shape and max(shape) > 1 for shape in shapes)
    return first.groups > 1 or second.groups > 1 or (factors and len(shapes) == 2)
