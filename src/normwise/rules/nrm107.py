"""NRM107: one batch norm for unlike inputs."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from normwise.evidence import Evidence, Level, Module
from normwise.rules.finding import Finding
from normwise.rules.norming import keeps_statistics, trained_batch_norms
from normwise.rules.rule import Rule


@dataclass(frozen=True)
class BatchNormSharedBetweenPlaces(Rule):
    """A batch norm is called at several places whose values are distributed differently.

    What it does:
        Looks for batch norms that are called more than once in a pass, and compares their input in
        the first call with that in the others: the difference of the means in standard deviations,
        or the binary logarithm of the ratio of the standard deviations, whichever is more; the
        median over the channels counts. A siamese network, whose two inputs are alike, may share
        its norms.

    Why it is bad:
        In training each call is normalized by its own batch, in evaluation all of them by the same
        average, which fits none.

    Example:
        `self.norm(self.second(self.norm(self.first(x))))`; or one norm for all steps of a
        recurrent network.

    Fix:
        Make one norm per place, or use `nn.LayerNorm`.

    References:
        Cooijmans et al.: Recurrent Batch Normalization (2017), section 4.

    Attributes:
        most: how much the median channel may differ.
    """

    code = "NRM107"
    name = "batch-norm-shared-between-places"
    level = "warning"
    since = "0.1.0"
    needs = Level.FORWARD

    most: float = 0.5

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per norm."""
        for path, norm in trained_batch_norms(evidence).items():
            if norm.most_calls < 2 or not keeps_statistics(norm):
                continue
            difference = _difference(norm)
            if difference > self.most:
                yield self.finding(
                    path,
                    f"it is called {norm.most_calls} times per pass on unlike values: they differ "
                    f"by {difference:.2g} standard deviations or powers of two",
                    "make one norm per place, or use nn.LayerNorm",
                    value=difference,
                    threshold=self.most,
                    confidence=0.9,
                )


def _difference(norm: Module) -> float:
    whole, later = norm.input, norm.norm and norm.norm.later
    if whole is None or later is None or whole.count <= later.count:
        return 0.0
    # The moments of the first calls are what the later ones leave of the whole.
    first, share = whole.count - later.count, later.count / whole.count
    mean = (whole.mean - share * later.mean) * whole.count / first
    squares = whole.var + whole.mean**2 - share * (later.var + later.mean**2)
    eps = norm.module.eps
    var = np.maximum(0, squares * whole.count / first - mean**2) + eps
    offset = np.abs(mean - later.mean) / np.sqrt((var + later.var + eps) / 2)
    scale = np.abs(np.log2(var / (later.var + eps))) / 2
    return float(np.median(np.maximum(offset, scale)))
