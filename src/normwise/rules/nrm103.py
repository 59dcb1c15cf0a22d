"""NRM103: a momentum that means the opposite in torch."""

from collections.abc import Iterator
from dataclasses import dataclass

from normwise.evidence import Evidence, Level
from normwise.rules.finding import Finding
from normwise.rules.norming import batch_norms, keeps_statistics, momentum_of
from normwise.rules.rule import NotEnough, Rule


@dataclass(frozen=True)
class KerasStyleMomentum(Rule):
    """A batch norm's momentum is 0.9 or more, which other libraries would write as 0.1 or less.

    What it does:
        Looks for batch norms with a momentum from 0.9 up to, but without, 1. A momentum of 1, which
        takes the statistics of the last batch as they are, can only be meant.

    Why it is bad:
        In torch, momentum is the share of the *new* batch. With 0.99 the running statistics are
        those of the last batch, so that evaluation depends on which batch came last.

    Example:
        `nn.BatchNorm2d(16, momentum=0.99)`, taken over from a Keras model.

    Fix:
        Write one minus it: `momentum=0.01` for what Keras calls 0.99.

    References:
        PyTorch documentation: torch.nn.BatchNorm2d, the note on momentum.

    Attributes:
        least: the momentum from which on it is reported.
    """

    code = "NRM103"
    name = "keras-style-momentum"
    level = "warning"
    since = "0.1.0"
    needs = Level.STRUCTURE

    least: float = 0.9

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per norm."""
        if not evidence.modules:
            raise NotEnough("no network was seen")
        for path, norm in batch_norms(evidence).items():
            momentum = momentum_of(norm)
            in_use = norm.train_calls or not norm.calls
            if not (in_use and keeps_statistics(norm)) or momentum is None:
                continue
            if self.least <= momentum < 1:
                yield self.finding(
                    path,
                    f"momentum={momentum:g}: {momentum:.4g} of the running statistics are those "
                    "of the last batch",
                    f"if {momentum:g} was to be the share of what is kept, write "
                    f"momentum={1 - momentum:.4g}",
                    value=momentum,
                    threshold=self.least,
                    confidence=0.9,
                )
