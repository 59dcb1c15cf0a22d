"""NRM108: batch statistics of parts of a batch."""

from collections.abc import Iterator
from dataclasses import dataclass

from normwise.evidence import Evidence, Level, Module
from normwise.rules.finding import Finding
from normwise.rules.norming import trained_batch_norms, values_per_batch
from normwise.rules.rule import NotEnough, Rule


@dataclass(frozen=True)
class BatchNormUnderAccumulation(Rule):
    """Gradients are accumulated over small batches, each of which a batch norm sees alone.

    What it does:
        Looks for batch norms whose optimizer steps after several passes and backward passes. It is
        a warning where a small batch has few values per channel, else only worth knowing.

    Why it is bad:
        Accumulation makes the gradients of a large batch, but not its statistics. These are as
        noisy as those of the small batches, so the result is not that of a large batch.

    Example:
        8 batches of 8 samples per step, to replace a batch of 64.

    Fix:
        Use a norm that does not depend on the batch, such as `nn.GroupNorm`; or larger batches.

    References:
        PyTorch issue 46516; Ioffe: Batch Renormalization (2017), section 1.

    Attributes:
        least: values per channel and batch below which it is a warning.
    """

    code = "NRM108"
    name = "batch-norm-under-accumulation"
    level = "warning"
    since = "0.1.0"
    needs = Level.TRAINING

    least: int = 16

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per norm."""
        norms = trained_batch_norms(evidence)
        if norms and not any(optimizer.judged for optimizer in evidence.optimizers):
            raise NotEnough("no optimizer's steps could be followed")
        for path, norm in norms.items():
            backwards = _backwards_per_step(evidence, path, norm)
            if backwards < 1.5:
                continue
            values = values_per_batch(norm)
            yield self.finding(
                path,
                f"each of {backwards:.2g} batches per step is normalized by its own "
                f"{values:.3g} values per channel",
                "use a norm that does not depend on the batch, such as nn.GroupNorm, or larger "
                "batches",
                value=values,
                threshold=self.least,
                level="warning" if values < self.least else "info",
            )


def _backwards_per_step(evidence: Evidence, path: str, norm: Module) -> float:
    """Return how many batches go into a step of a norm's optimizer, each with its backward."""
    owned = [p for p in evidence.parameters.values() if p.module == path]
    holders = [evidence.optimizers[index] for p in owned for index in p.optimizers]
    accumulated = min((o.accumulated for o in holders if o.judged), default=1.0)
    # Several losses may go back through one pass.
    return min(accumulated, norm.calls / max(1, evidence.measured))
