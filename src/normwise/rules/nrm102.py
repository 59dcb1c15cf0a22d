"""NRM102: batch statistics of too few values."""

from collections.abc import Iterator
from dataclasses import dataclass

from normwise.evidence import Evidence, Level
from normwise.rules.finding import Finding
from normwise.rules.norming import trained_batch_norms, values_per_batch
from normwise.rules.rule import Rule


@dataclass(frozen=True)
class TooFewValuesPerChannel(Rule):
    """A batch norm takes the mean and variance of each channel from a handful of values.

    What it does:
        Counts the values of one channel in a batch: samples times positions, on average over the
        measured batches, so that a short last batch does not matter. Batch norms in evaluation
        mode do not use the batch and are not reported.

    Why it is bad:
        The variance of n values is off by about sqrt(2 / (n - 1)) of itself: by half at n = 8. The
        network learns with that noise, which is absent in evaluation; errors grow rapidly.

    Example:
        `nn.BatchNorm1d` trained with batches of 4 samples.

    Fix:
        Use larger batches, or a norm that needs none: `nn.GroupNorm`, `nn.LayerNorm`.

    References:
        Wu, He: Group Normalization (2018), figure 1.

    Attributes:
        least: the number of values below which it is reported.
    """

    code = "NRM102"
    name = "too-few-values-per-channel"
    level = "warning"
    since = "0.1.0"
    needs = Level.FORWARD

    least: int = 8

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per norm."""
        for path, norm in trained_batch_norms(evidence).items():
            values = values_per_batch(norm)
            if values < self.least:
                yield self.finding(
                    path,
                    f"the statistics of each channel come from {values:.3g} values per batch",
                    "use larger batches, or a norm that needs none, such as nn.GroupNorm or "
                    "nn.LayerNorm",
                    value=values,
                    threshold=self.least,
                )
