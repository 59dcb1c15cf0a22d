"""MOD103: a graph for gradients that nobody takes."""

from collections.abc import Iterator
from dataclasses import dataclass

from normwise.evidence import Evidence, Level
from normwise.rules.finding import Finding
from normwise.rules.norming import lies_within
from normwise.rules.rule import Rule


@dataclass(frozen=True)
class ScoringWithGradients(Rule):
    """The network is scored with gradients on, though no backward pass follows.

    What it does:
        Counts passes in evaluation mode with gradients on, where no gradient went back through
        any of them and the network has parameters that need gradients.

    Why it is bad:
        Each pass keeps all activations until its output is gone: a network that trains well may
        run out of memory in evaluation, and sums such as `total += loss` keep every graph.

    Example:
        A validation loop with `model.eval()`, but without `torch.no_grad()`.

    Fix:
        Score under `torch.inference_mode()` or `torch.no_grad()`.

    References:
        PyTorch documentation: Autograd mechanics, "Locally disabling gradient computation".

    Attributes:
        passes: from how many passes on it is reported.
    """

    code = "MOD103"
    name = "scoring-with-gradients"
    level = "info"
    since = "0.1.0"
    needs = Level.FORWARD

    passes: int = 2

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per module that the program calls."""
        for each in evidence.passes:
            scoring = each.backward == 0  # it is None but in evaluation mode with gradients on
            if scoring and each.count >= self.passes and _learns(evidence, each.entry):
                yield self.finding(
                    each.entry,
                    f"gradients were on in {each.count} passes in evaluation mode, and taken in "
                    "none",
                    "score under torch.inference_mode() or torch.no_grad()",
                    value=float(each.count),
                    threshold=float(self.passes),
                    step=each.steps[0],
                )


def _learns(evidence: Evidence, entry: str) -> bool:
    return any(
        known.parameter.requires_grad
        for known in evidence.parameters.values()
        if lies_within(known.module, entry)
    )
