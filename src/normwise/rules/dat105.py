"""DAT105: batches of a single class or two."""

from collections.abc import Iterator
from dataclasses import dataclass

from normwise.evidence import Evidence, Level, Loss
from normwise.rules.finding import Finding
from normwise.rules.rule import NotEnough, Rule


@dataclass(frozen=True)
class SortedByClass(Rule):
    """Batches hold far fewer classes than a random draw would.

    What it does:
        Counts the classes among the targets of each measured training batch, and compares how many
        there are beside the first with the number to be expected if as many samples were drawn from
        all targets seen. It looks at one target per sample, not at pixels, and reports batches of
        up to four classes, where chance would not explain them. Two classes that a step is given in
        turn, as real and generated samples, are not reported.

    Why it is bad:
        At each step the network learns to answer with the classes of that batch and forgets the
        others; batch norms learn the statistics of one class at a time.

    Example:
        Images read folder by folder, a class each, without shuffling.

    Fix:
        `DataLoader(..., shuffle=True)`, or sort the data at random once.

    References:
        Bottou: Stochastic Gradient Descent Tricks (2012), section 5.1, "randomly shuffle the
        training examples".

    Attributes:
        share: of the expected number of classes beside the first, below which it is reported.
        classes: the most that a batch may hold to be reported.
        errors: by how many standard errors there must be fewer than expected.
    """

    code = "DAT105"
    name = "sorted-by-class"
    level = "warning"
    since = "0.1.0"
    needs = Level.FORWARD

    share: float = 0.5
    classes: float = 4.0
    errors: float = 4.0

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per loss."""
        known = [loss for loss in evidence.losses if loss.training and _classes(loss) > 1]
        if not known:
            raise NotEnough("no training loss with targets of several classes was measured twice")
        for loss in known:
            if _classes(loss) == 2 and loss.calls > evidence.measured:
                continue
            seen, (expected, error) = loss.distinct.mean, _expected(loss)
            bound = min(1 + self.share * (expected - 1), expected - self.errors * error)
            if seen <= self.classes and seen < bound:
                yield self.finding(
                    loss.module or "",
                    f"a batch of {loss.target_shape[0]} holds {seen:.2g} of {_classes(loss)} "
                    f"classes on average, where {expected:.2g} are to be expected",
                    "shuffle the data, such as by DataLoader(..., shuffle=True)",
                    value=seen,
                    threshold=bound,
                    confidence=0.9,
                )


def _classes(loss: Loss) -> int:
    """Return how many classes were targets, of a loss with one target per sample; else 0."""
    counts = loss.target_counts
    if counts is None or len(loss.target_shape) != 1 or loss.distinct.count < 2:
        return 0
    return int((counts > 0).sum())


def _expected(loss: Loss) -> tuple[float, float]:
    """Return how many classes random batches of this size would hold on average, and its error."""
    assert loss.target_counts is not None
    shares = loss.target_counts / loss.target_counts.sum()
    present = 1 - (1 - shares) ** loss.target_shape[0]
    # At most: where one class is there, others are a little less likely.
    variance = float((present * (1 - present)).sum())
    return float(present.sum()), (variance / loss.distinct.count) ** 0.5
