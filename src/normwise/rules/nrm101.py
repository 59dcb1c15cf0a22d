"""NRM101: a bias that a norm removes again."""

from collections.abc import Iterator
from dataclasses import dataclass

from normwise.evidence import Evidence, Graph, Level, Node
from normwise.rules.finding import Finding
from normwise.rules.rule import NotEnough, Rule

_LAYERS = ("linear", "conv1d", "conv2d", "conv3d")
_TRANSPOSED = ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
_KEEPS_VALUES = frozenset({"to", "float", "half", "bfloat16", "contiguous", "clone"})


@dataclass(frozen=True)
class BiasBeforeBatchNorm(Rule):
    """A layer's bias has no effect, since the norm behind it subtracts the mean of each channel.

    What it does:
        Looks for a Linear or convolution with a bias whose whole output goes into a batch norm, an
        instance norm, or a group norm with one channel per group, and nowhere else. A bias before
        a layer norm, or before a group norm with several channels per group, does have an effect
        and is not reported.

    Why it is bad:
        The bias is a parameter without effect: it costs memory and time, weight decay and noise
        move it about, and its gradient is nothing but rounding errors, which Adam blows up to
        whole steps.

    Example:
        `nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16))`

    Fix:
        Make the layer with `bias=False`; the norm's own bias does the work.

    References:
        Ioffe, Szegedy: Batch Normalization (2015), section 3.2: "the bias b can be ignored".
    """

    code = "NRM101"
    name = "bias-before-batch-norm"
    level = "info"
    since = "0.1.0"
    needs = Level.FORWARD

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per layer."""
        graph = evidence.graph
        if graph is None:
            raise NotEnough("the calls of functions could not be seen")
        for path in dict.fromkeys(node.module for node in graph.named(*_LAYERS, *_TRANSPOSED)):
            module = evidence.modules.get(path or "")
            bias = None if module is None else getattr(module.module, "bias", None)
            calls = [n for n in graph.named(*_LAYERS, *_TRANSPOSED) if n.module == path]
            if bias is None or not all(_removed(graph, call) for call in calls):
                continue
            yield self.finding(
                path or "",
                f"the norm behind this layer removes its bias of {bias.numel()} values",
                "make the layer with bias=False",
                value=float(bias.numel()),
                threshold=0.0,
            )


def _removed(graph: Graph, layer: Node) -> bool:
    takers = graph.consumers(layer, _KEEPS_VALUES)
    return bool(takers) and all(_subtracts_means(taker) for taker in takers)


def _subtracts_means(node: Node) -> bool:
    if node.name == "batch_norm":
        return bool(node.options.get("training", node.options.get(5, False)))
    if node.name == "instance_norm":
        return bool(node.options.get("use_input_stats", node.options.get(5, True)))
    groups = node.options.get("num_groups", node.options.get(1))
    return node.name == "group_norm" and groups == node.shape[1]
