"""DAT103: features that never vary."""

from collections.abc import Iterator
from dataclasses import dataclass

from normwise.evidence import Evidence, Level
from normwise.rules.finding import Finding
from normwise.rules.rule import NotEnough, Rule


@dataclass(frozen=True)
class ConstantFeatures(Rule):
    """Some features of the input have the same value for all samples.

    What it does:
        Looks for features, or channels of images, that did not vary in any measured batch. It
        needs some hundreds of samples. The corners of images in rows are often constant: it is only
        worth knowing.

    Why it is bad:
        A constant carries no information; its weights act like a bias that learns faster. It may
        come from a column that was read wrongly, or vary for the first time in the test data.

    Example:
        A column of zeros, left over from a join that found no match.

    Fix:
        Leave the features out, or find out why they are constant.

    References:
        scikit-learn documentation: sklearn.feature_selection.VarianceThreshold.

    Attributes:
        values: how many values of each feature must have been seen.
    """

    code = "DAT103"
    name = "constant-features"
    level = "info"
    since = "0.1.0"
    needs = Level.FORWARD

    values: int = 256

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per network."""
        known = {batches.entry: batches.input for batches in evidence.batches}
        enough = {e: u for e, u in known.items() if u is not None and u.count >= self.values}
        if not enough:
            raise NotEnough(f"fewer than {self.values} values of any feature were measured")
        for entry, units in enough.items():
            constant = units.constant_units
            if len(constant):
                named = ", ".join(map(str, constant[:5])) + (", ..." if len(constant) > 5 else "")
                yield self.finding(
                    entry,
                    f"{len(constant)} of {len(units.mean)} features had one value in all of "
                    f"{units.count} samples: {named}",
                    "leave them out, or find out why they are constant",
                    value=float(len(constant)),
                    threshold=0.0,
                )
