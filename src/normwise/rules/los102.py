"""LOS102: a softmax over another axis than the classes."""

from collections.abc import Iterator
from dataclasses import dataclass

from normwise.evidence import Evidence, Level, Loss, Node
from normwise.evidence.graph import THROUGH
from normwise.rules.finding import Finding
from normwise.rules.rule import NotEnough, Rule

_SOFTMAXES = ("softmax", "log_softmax")
_ONWARD = THROUGH | {"log", "clamp", "clamp_min", "add"}


@dataclass(frozen=True)
class SoftmaxOverWrongAxis(Rule):
    """The softmax before a loss of classes does not run over the classes.

    What it does:
        Where a softmax or log-softmax leads straight into `cross_entropy` or `nll_loss`, looks
        whether what arrives sums to 1 over the classes, at every measured call.

    Why it is bad:
        The samples of a batch compete for each class instead of the classes for each sample: the
        loss falls for the wrong reason, and a prediction depends on the other samples.

    Example:
        `F.nll_loss(F.log_softmax(logits, dim=0), target)`

    Fix:
        Use `dim=1`, or `dim=-1` where classes come last; or give logits to `cross_entropy`.

    References:
        PyTorch documentation: torch.nn.functional.log_softmax, "A dimension along which
        log_softmax will be computed".

    Attributes:
        tolerance: how far the sums may be from 1.
    """

    code = "LOS102"
    name = "softmax-over-wrong-axis"
    level = "error"
    since = "0.1.0"
    needs = Level.FORWARD

    tolerance: float = 1e-2

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per softmax."""
        if evidence.graph is None:
            raise NotEnough("the calls of functions could not be seen")
        losses = [each for each in evidence.losses if each.training and each.row_low.count]
        if not losses:
            raise NotEnough("no loss of classes was seen")
        for loss in losses:
            softmax = _softmax(evidence, loss)
            if softmax is None or loss.input_shape[min(1, len(loss.input_shape) - 1)] < 2:
                continue
            off = _off(loss, softmax)
            if off > self.tolerance:
                yield self.finding(
                    softmax.module or loss.place,
                    f"{softmax.name} runs over axis {_axis(softmax)} of {softmax.shape}: the "
                    f"probabilities of a sample's classes miss a sum of 1 by a factor of up to "
                    f"{1 + off:.2g}",
                    "let it run over the classes, or leave it out and use cross_entropy",
                    value=off,
                    threshold=self.tolerance,
                )


def _softmax(evidence: Evidence, loss: Loss) -> Node | None:
    assert evidence.graph is not None
    if loss.node is None:
        return None
    sources = evidence.graph.sources(evidence.graph.nodes[loss.node], _ONWARD)
    return next((node for node in sources if node.name in _SOFTMAXES), None)


def _off(loss: Loss, softmax: Node) -> float:
    """Return by how much the probabilities' sums are off, as a share of 1, over all calls."""
    if softmax.name == "softmax" and loss.name == "cross_entropy":
        return max(abs(loss.row_low.low - 1), abs(loss.row_high.high - 1))
    return max(abs(loss.log_row_low.low), abs(loss.log_row_high.high))


def _axis(softmax: Node) -> object:
    return softmax.options.get("dim", softmax.options.get(1))
