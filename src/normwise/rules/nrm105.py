"""NRM105: norms that were frozen, but for their statistics."""

from collections.abc import Iterator
from dataclasses import dataclass

from normwise.evidence import Evidence, Level, Module
from normwise.rules.finding import Finding
from normwise.rules.norming import batch_norms, batches_tracked, keeps_statistics
from normwise.rules.rule import Rule


@dataclass(frozen=True)
class FrozenBatchNormDrifts(Rule):
    """A batch norm's weights are frozen, but its running statistics follow the new data.

    What it does:
        Looks for batch norms whose weight and bias need no gradient and did not change, and that
        ran in training mode. Copies that are averaged from another network, whose weights change
        without gradients, are not reported.

    Why it is bad:
        `requires_grad_(False)` does not hold buffers back. The frozen layers normalize by other
        statistics in every batch, and no longer compute what they had learnt.

    Example:
        A pretrained backbone with all `requires_grad` off, then `model.train()` in each epoch.

    Fix:
        Put it into evaluation mode after each `model.train()`, or call `nw.freeze_norm` once.

    References:
        PyTorch issue 66073; torchvision.ops.FrozenBatchNorm2d.
    """

    code = "NRM105"
    name = "frozen-batch-norm-drifts"
    level = "warning"
    since = "0.1.0"
    needs = Level.TRAINING

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per norm."""
        for path, norm in batch_norms(evidence).items():
            updates = _updates(norm)
            if updates and norm.norm is not None and norm.norm.frozen and keeps_statistics(norm):
                yield self.finding(
                    path,
                    f"its weights are frozen, but its running statistics took {updates} batches",
                    "call nw.freeze_norm on the network, or .eval() on the frozen part after each "
                    "model.train()",
                    value=float(updates),
                    threshold=0.0,
                    confidence=0.9,
                )


def _updates(norm: Module) -> int:
    """Return how many batches a norm took, also in passes that were not measured."""
    before = (norm.buffers_before or {}).get("num_batches_tracked")
    taken = 0 if before is None else batches_tracked(norm) - int(before)
    return max(norm.train_calls, taken)  # what is tried on the side is undone again
