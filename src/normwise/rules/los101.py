"""LOS101: probabilities where cross-entropy expects logits."""

from collections.abc import Iterator
from dataclasses import dataclass

from normwise.evidence import Evidence, Level, Loss
from normwise.rules.finding import Finding
from normwise.rules.rule import NotEnough, Rule


@dataclass(frozen=True)
class ProbabilitiesIntoCrossEntropy(Rule):
    """Cross-entropy is given probabilities, though it applies a softmax of its own.

    What it does:
        Looks whether the inputs of `cross_entropy` are never negative and sum to 1 over the
        classes in every measured call.

    Why it is bad:
        The second softmax squeezes probabilities between 0 and 1 into nearly equal ones: with C
        classes the loss cannot fall below log(1 + (C - 1) / e), and gradients are small.

    Example:
        A network that ends in `nn.Softmax`, trained with `nn.CrossEntropyLoss`.

    Fix:
        Leave out the softmax in training; apply it when probabilities are wanted.

    References:
        PyTorch documentation: torch.nn.CrossEntropyLoss, "unnormalized logits".

    Attributes:
        tolerance: how far the sums may be from 1.
    """

    code = "LOS101"
    name = "probabilities-into-cross-entropy"
    level = "error"
    since = "0.1.0"
    needs = Level.FORWARD

    tolerance: float = 1e-2

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per place where the loss is called."""
        losses = [
            loss
            for loss in evidence.losses
            if loss.name == "cross_entropy" and loss.calls and loss.training
        ]
        if not losses:
            raise NotEnough("no call of cross_entropy was seen")
        for loss in losses:
            off = max(abs(loss.row_low.low - 1), abs(loss.row_high.high - 1))
            if loss.input_low.low >= 0 and off <= self.tolerance and loss.input_shape[-1] > 1:
                seen = loss.row_low.count
                yield self.finding(
                    loss.module or loss.place,
                    f"the inputs are probabilities: they sum to 1 in all of {seen} calls",
                    f"leave out {_source(evidence, loss)}; cross-entropy applies a softmax itself",
                    value=off,
                    threshold=self.tolerance,
                )


def _source(evidence: Evidence, loss: Loss) -> str:
    if evidence.graph is None or loss.node is None:
        return "the softmax"
    sources = evidence.graph.sources(evidence.graph.nodes[loss.node])
    softmaxes = [node for node in sources if node.name == "softmax" and node.module]
    return f"the softmax in {softmaxes[0].module}" if softmaxes else "the softmax"
