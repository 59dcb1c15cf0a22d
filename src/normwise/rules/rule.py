"""What every rule is."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from normwise.evidence import Evidence, Level
from normwise.rules.finding import Finding, FindingLevel


class NotEnough(Exception):  # noqa: N818 (no error: an answer)
    """Raised by a rule that cannot tell; its text says what was missing.

    Example:
        >>> raise NotEnough("no loss was seen")
        Traceback (most recent call last):
        normwise.rules.rule.NotEnough: no loss was seen
    """


@dataclass(frozen=True)
class Rule(ABC):
    """A check that turns evidence into findings.

    A rule is one frozen dataclass in a file of its code's name. Thresholds are its fields, with
    their defaults. Its docstring has the headings What it does, Why it is bad, Example, Fix and
    References.

    Attributes:
        code: three letters of the family and three digits.
        name: the fault, in words joined by hyphens; never the cure.
        level: of its findings, unless one is milder.
        since: the version of normwise that first had it.
        needs: how deep the evidence must go.

    Example:
        >>> from normwise.rules.registry import all_rules
        >>> all_rules()["NRM101"].name
        'bias-before-batch-norm'
    """

    code: ClassVar[str]
    name: ClassVar[str]
    level: ClassVar[FindingLevel]
    since: ClassVar[str]
    needs: ClassVar[Level]

    @abstractmethod
    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield what is wrong.

        Raises:
            NotEnough: the evidence does not tell.
        """

    def finding(
        self,
        where: str,
        message: str,
        advice: str,
        *,
        value: float | None = None,
        threshold: float | None = None,
        confidence: float = 1.0,
        step: int | None = None,
        level: FindingLevel | None = None,
    ) -> Finding:
        """Return a finding of this rule."""
        return Finding(
            self.code,
            self.name,
            level or self.level,
            where,
            step,
            value,
            threshold,
            message,
            advice,
            confidence,
        )
