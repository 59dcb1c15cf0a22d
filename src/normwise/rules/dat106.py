"""DAT106: answers for a sample that depend on the others in its batch."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch.nn.modules.batchnorm import _BatchNorm

from normwise.evidence import Evidence, Level
from normwise.rules.finding import Finding
from normwise.rules.rule import NotEnough, Rule


@dataclass(frozen=True)
class SamplesLeak(Rule):
    """In evaluation mode, the output for a sample changes with the other samples of its batch.

    What it does:
        Runs a batch in evaluation mode, and its first sample once more among copies of itself,
        with the same random numbers. It is tried by `nw.check` only.

    Why it is bad:
        The network answers differently for a batch of one, as in use, than in its evaluation; and
        its scores depend on the order of the test data.

    Example:
        `nn.BatchNorm1d(16, track_running_stats=False)`; or `nn.MultiheadAttention` without
        `batch_first=True` on samples first, which attends from sample to sample.

    Fix:
        Look for what mixes the first axis: a norm without running statistics, a mean or softmax
        over axis 0, attention with samples and positions interchanged.

    References:
        Karpathy: A Recipe for Training Neural Networks (2019), "use backprop to chart
        dependencies".

    Attributes:
        most: the largest change, relative to the output's size, that may be rounding.
    """

    code = "DAT106"
    name = "samples-leak"
    level = "warning"
    since = "0.1.0"
    needs = Level.FORWARD

    most: float = 1e-3

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per network."""
        if evidence.leak is None:
            raise NotEnough("whether samples depend on each other is tried by nw.check only")
        if evidence.leak > self.most:
            yield self.finding(
                _first_norm_of_batches(evidence),
                f"in evaluation mode the output for a sample changes by {evidence.leak:.2g} of its "
                "size with the others in the batch",
                "look for what mixes samples: a norm without running statistics, a mean or softmax "
                "over axis 0, attention with samples and positions interchanged",
                value=evidence.leak,
                threshold=self.most,
                confidence=0.9,
            )


def _first_norm_of_batches(evidence: Evidence) -> str:
    """Return the first batch norm without running statistics; empty where there is none."""
    norms = (p for p, m in evidence.modules.items() if m.calls and _lacks_statistics(m.module))
    return next(norms, "")


def _lacks_statistics(module: object) -> bool:
    return isinstance(module, _BatchNorm) and module.running_mean is None
