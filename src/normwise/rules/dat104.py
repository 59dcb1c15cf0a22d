"""DAT104: the same batches in the same order."""

from collections.abc import Iterator
from dataclasses import dataclass

from normwise.evidence import Evidence, Level
from normwise.rules.finding import Finding
from normwise.rules.rule import NotEnough, Rule


@dataclass(frozen=True)
class NeverReshuffled(Rule):
    """Each epoch goes through the same batches in the same order.

    What it does:
        Compares a fingerprint of each training batch with those of the batches before. It is
        reported where several batches come again and again in one order. A single batch, which
        may be all the data, is not; nor are batches that are drawn or augmented anew.

    Why it is bad:
        The errors of the batches' gradients repeat instead of averaging out, and a batch norm
        always sees the same samples together. Where order matters, as for a recurrent state that
        is carried on, it is right; otherwise it costs a little.

    Example:
        `DataLoader(data, batch_size=64)`, which does not shuffle by default.

    Fix:
        `DataLoader(..., shuffle=True)`, or draw a new permutation in each epoch.

    References:
        Mishchenko, Khaled, Richtárik: Random Reshuffling: Simple Analysis with Vast Improvements
        (2020).

    Attributes:
        batches: how many batches must have been seen.
    """

    code = "DAT104"
    name = "never-reshuffled"
    level = "info"
    since = "0.1.0"
    needs = Level.FORWARD

    batches: int = 6

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per network."""
        enough = [batches for batches in evidence.batches if batches.count >= self.batches]
        if not enough:
            raise NotEnough(f"fewer than {self.batches} training batches were seen")
        for batches in enough:
            period = batches.period
            if period is not None and period > 1:
                yield self.finding(
                    batches.entry,
                    f"the same {period} batches came in the same order "
                    f"{batches.count // period} times",
                    "shuffle in each epoch, such as by DataLoader(..., shuffle=True)",
                    value=float(period),
                    threshold=1.0,
                    confidence=0.9,
                )
