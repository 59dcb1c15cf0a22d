"""LOS103: a softmax over a single logit."""

from collections.abc import Iterator
from dataclasses import dataclass

from normwise.evidence import Evidence, Graph, Level, Node
from normwise.rules.finding import Finding
from normwise.rules.rule import NotEnough, Rule

_LOSSES = ("cross_entropy", "nll_loss")


@dataclass(frozen=True)
class SoftmaxOverSingleLogit(Rule):
    """A softmax runs over a single value, so its result is always 1.

    What it does:
        Looks for a softmax or log-softmax over the last axis of a layer with one output, and for
        `cross_entropy` of one class. Attention that happens to have one position is not meant.

    Why it is bad:
        The probability is 1 and the loss 0 whatever the network says: nothing is learned.

    Example:
        A binary classifier with `nn.Linear(32, 1)` and `nn.Softmax(1)`.

    Fix:
        Use `sigmoid` and `binary_cross_entropy_with_logits` for one logit, or give the layer two
        outputs.

    References:
        PyTorch documentation: torch.nn.BCEWithLogitsLoss.
    """

    code = "LOS103"
    name = "softmax-over-single-logit"
    level = "error"
    since = "0.1.0"
    needs = Level.FORWARD

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per place."""
        if evidence.graph is None:
            raise NotEnough("the calls of functions could not be seen")
        found = {
            node.module or "": node.name
            for node in evidence.graph.named("softmax", "log_softmax")
            if _is_of_single_logit(evidence.graph, node)
        }
        for loss in evidence.losses if not found else ():
            shape = loss.input_shape
            if loss.name in _LOSSES and loss.training and shape[min(1, len(shape) - 1)] == 1:
                found[loss.module or loss.place] = loss.name
        for where, name in found.items():
            yield self.finding(
                where,
                f"{name} runs over a single value: the probability is always 1",
                "use binary_cross_entropy_with_logits for one logit, or two outputs",
                value=1.0,
                threshold=2.0,
            )


def _is_of_single_logit(graph: Graph, softmax: Node) -> bool:
    axis = softmax.options.get("dim", softmax.options.get(1))
    axes = len(softmax.shape)
    last = isinstance(axis, int) and axis % axes == axes - 1
    sources = graph.sources(softmax, frozenset())
    linear = bool(sources) and sources[0].name == "linear"
    return linear and last and softmax.shape[-1] == 1
