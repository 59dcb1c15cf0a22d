"""NRM104: running statistics that do not describe what the norm is given."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from normwise.evidence import Evidence, Level, Module
from normwise.rules.finding import Finding
from normwise.rules.norming import (
    keeps_statistics,
    momentum_of,
    trained_batch_norms,
)
from normwise.rules.rule import NotEnough, Rule


@dataclass(frozen=True)
class RunningStatisticsFarFromData(Rule):
    """A batch norm's running mean and variance are far from those of its input.

    What it does:
        Compares the running statistics with the moments of the last measured training batches,
        both averaged over the same steps. A channel is off by how many standard deviations its
        mean would lie from 0 after the norm in evaluation mode, or by the binary logarithm of what
        its standard deviation would be, whichever is more; the median over the channels counts.
        Norms that have not yet seen enough batches to forget their initial statistics are left out.

    Why it is bad:
        In evaluation mode the layers behind the norm get other values than those that they have
        learnt from. Loss and accuracy of the same network differ widely between the two modes.

    Example:
        `nn.BatchNorm2d(16, momentum=1e-4)`; or weights loaded without their buffers.

    Fix:
        Leave momentum at 0.1, or call `nw.recalibrate` before evaluation.

    References:
        Wu, Johnson: Rethinking "Batch" in BatchNorm (2021), section 3.

    Attributes:
        most: how far off the median channel may be.
        updates: after how many batches the statistics should fit, at the latest.
    """

    code = "NRM104"
    name = "running-statistics-far-from-data"
    level = "warning"
    since = "0.1.0"
    needs = Level.FORWARD

    most: float = 1.0
    updates: int = 200

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per norm."""
        tracking = {p: m for p, m in trained_batch_norms(evidence).items() if keeps_statistics(m)}
        settled = {p: m for p, m in tracking.items() if self._is_settled(m)}
        if tracking and not settled:
            raise NotEnough(
                "no batch norm has seen enough batches to forget its initial statistics"
            )
        for path, norm in settled.items():
            distance = distance_from_data(norm)
            if distance > self.most:
                yield self.finding(
                    path,
                    f"in half of the channels the running statistics are off by {distance:.2g} "
                    "standard deviations or powers of two, or more",
                    "leave momentum at 0.1, or call nw.recalibrate before evaluation",
                    value=distance,
                    threshold=self.most,
                    confidence=0.9,
                )

    def _is_settled(self, norm: Module) -> bool:
        momentum = momentum_of(norm)
        enough = min(3 / momentum, self.updates) if momentum else 1
        return norm.norm is not None and norm.norm.kept_updates >= enough


def distance_from_data(norm: Module) -> float:
    """Return how far the median channel is off; 0 where nothing can be compared."""
    if norm.norm is None or norm.norm.kept_var is None or norm.input is None:
        return 0.0
    data, mean, eps = norm.input.recent, norm.norm.kept_mean, norm.module.eps
    assert data is not None
    kept = norm.norm.kept_var + eps
    offset = np.abs(data.mean - mean) / np.sqrt(kept)
    scale = np.abs(np.log2((data.var + eps) / kept)) / 2
    return float(np.median(np.maximum(offset, scale)))
