"""NRM106: running statistics that take each batch twice."""

from collections.abc import Iterator
from dataclasses import dataclass

from normwise.evidence import Evidence, Level, Passes
from normwise.rules.finding import Finding
from normwise.rules.norming import (
    keeps_statistics,
    lies_within,
    momentum_of,
    trained_batch_norms,
)
from normwise.rules.rule import Rule


@dataclass(frozen=True)
class BatchNormUpdatedTwice(Rule):
    """A batch norm updates its running statistics more than once with the same batch.

    What it does:
        Looks for batch norms that run again in the backward pass, which is what checkpointing
        does, and for programs that pass the very same tensor through the network twice per step.

    Why it is bad:
        Each further update doubles the weight of the batch: a momentum of 0.1 acts like 0.19. The
        running statistics are noisier, and `num_batches_tracked` counts what did not happen.

    Example:
        `checkpoint(block, x)` of a block with batch norm; or a second `model(x)` in training mode
        to count the right answers.

    Fix:
        Keep the norm outside of the checkpointed part, or set its momentum to `1 - sqrt(1 - m)`.
        Keep the output of the first pass rather than compute it again.

    References:
        PyTorch issue 96136; Chen et al.: Training Deep Nets with Sublinear Memory Cost (2016).

    Attributes:
        most: updates per batch from which on it is reported.
    """

    code = "NRM106"
    name = "batch-norm-updated-twice"
    level = "info"
    since = "0.1.0"
    needs = Level.BACKWARD

    most: float = 1.4

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per norm."""
        for path, norm in trained_batch_norms(evidence).items():
            momentum = momentum_of(norm)
            if not keeps_statistics(norm) or momentum is None:
                continue  # a plain average stays the same
            recomputed = 1 + norm.recomputed / norm.calls
            repeated = _updates_per_batch(evidence, path)
            updates = max(recomputed, repeated)
            if updates >= self.most:
                again = "it runs again in the backward pass"
                twice = "the same tensor is passed through the network again"
                yield self.finding(
                    path,
                    f"its running statistics are updated {updates:.2g} times per batch: "
                    f"{again if recomputed >= repeated else twice}",
                    "keep it out of checkpointed parts and use each output that was computed, or "
                    f"make momentum={1 - (1 - momentum) ** (1 / updates):.3g}",
                    value=updates,
                    threshold=self.most,
                )


def _updates_per_batch(evidence: Evidence, path: str) -> float:
    """Return how often a batch comes in a row, where the program makes several passes per step."""
    if not evidence.steps:
        return 1.0
    passes = [p for p in evidence.passes if p.training and lies_within(path, p.entry)]
    lasting = [p for p in passes if _lasts(p, evidence.steps)]
    count, repeated = sum(p.count for p in lasting), sum(p.repeated for p in lasting)
    per_step = count / evidence.steps
    return min(per_step, count / max(1, count - repeated))


def _lasts(passes: Passes, steps: int) -> bool:
    """Whether passes go on for most of the training, unlike a recalibration at its end."""
    first, last = passes.steps
    return last - first >= steps / 2
