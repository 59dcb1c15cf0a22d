"""What a rule has found."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any, Literal, Self

FindingLevel = Literal["error", "warning", "info"]
LEVELS: tuple[FindingLevel, ...] = ("error", "warning", "info")
"""Worst first."""


@dataclass(frozen=True)
class Finding:
    """One fault at one place.

    Attributes:
        code: of the rule, such as `NRM101`.
        name: of the fault.
        level: `error`: the result is wrong or training cannot work; `warning`: it costs quality or
            speed; `info`: worth knowing.
        where: path of the module or name of the parameter; `file.py:12` for faults in the user's
            loop; empty for the network as a whole.
        step: the optimizer step at which it was first seen, or None where it has no time.
        value: what was measured, in the unit of `threshold`.
        threshold: the bound that it crossed.
        message: what is wrong, in one sentence with the numbers.
        advice: what to do.
        confidence: how sure the rule is, from 0 to 1.

    Example:
        >>> finding = Finding("ACT101", "dead-units", "warning", "encoder.2", 40, 0.9, 0.5,
        ...                   "90 % of 64 units gave 0 throughout", "lower the learning rate", 0.9)
        >>> finding.where, finding.to_dict()["code"]
        ('encoder.2', 'ACT101')
    """

    code: str
    name: str
    level: FindingLevel
    where: str
    step: int | None
    value: float | None
    threshold: float | None
    message: str
    advice: str
    confidence: float

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name; numbers that are not finite, which JSON lacks, as None."""
        fields = asdict(self)
        for name in ("value", "threshold"):
            if fields[name] is not None and not isfinite(fields[name]):
                fields[name] = None
        return fields


class Findings(list[Finding]):
    """Findings, the worst first, and what else the rules had to say.

    Attributes:
        clean: codes of the rules that had enough evidence and found nothing.
        unanswered: why the others could not tell, by code.
        notes: what could not be measured, and why.
        places: `file.py:12` where the module of a finding was made, by `where`, if known.

    Example:
        >>> findings = Findings(clean=["NRM101"], unanswered={"LOS101": "no loss was seen"})
        >>> findings, findings.clean, findings.unanswered
        ([], ['NRM101'], {'LOS101': 'no loss was seen'})
    """

    def __init__(
        self,
        findings: list[Finding] | None = None,
        clean: list[str] | None = None,
        unanswered: dict[str, str] | None = None,
        notes: tuple[str, ...] = (),
        places: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(sorted(findings or [], key=_badness))
        self.clean = clean or []
        self.unanswered = unanswered or {}
        self.notes = notes
        self.places = dict(places or {})

    def merged(self, *others: "Findings") -> "Findings":
        """Return these findings and those of other processes, each fault at a place once.

        Processes that train together each see the same network: a fault that several have seen is
        reported as the first of them saw it, and a rule is clean only if none found anything.

        Args:
            others: of the other processes, in the order of their ranks.

        Example:
            >>> found = Finding("ACT101", "dead-units", "warning", "2", 3, 1.0, 0.5, "", "", 0.9)
            >>> both = Findings([found]).merged(Findings([found], clean=["NRM101"]))
            >>> len(both), both.clean
            (1, ['NRM101'])
        """
        everyone = (self, *others)
        first: dict[tuple[str, str], Finding] = {}
        for finding in (finding for each in everyone for finding in each):
            first.setdefault((finding.code, finding.where), finding)
        found = {finding.code for finding in first.values()}
        clean = dict.fromkeys(code for each in everyone for code in each.clean)
        unanswered = {c: why for each in reversed(everyone) for c, why in each.unanswered.items()}
        return Findings(
            list(first.values()),
            [code for code in clean if code not in found],
            {c: why for c, why in unanswered.items() if c not in found and c not in clean},
            tuple(dict.fromkeys(note for each in everyone for note in each.notes)),
            {where: at for each in reversed(everyone) for where, at in each.places.items()},
        )

    def place(self, finding: Finding) -> str:
        """Return `file.py:12` of the fault, or of the making of its module; empty if not known.

        Example:
            >>> found = Finding("OPT103", "", "error", "train.py:7", 3, 1.0, 0.5, "", "", 0.9)
            >>> Findings([found]).place(found)
            'train.py:7'
        """
        own = finding.where if re.search(r"\.py:\d+$", finding.where) else ""
        return own or self.places.get(finding.where, "")

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data, as `--format json` prints it.

        Example:
            >>> list(Findings().to_dict())
            ['findings', 'clean', 'unanswered', 'notes', 'places']
        """
        return {
            "findings": [finding.to_dict() for finding in self],
            "clean": self.clean,
            "unanswered": self.unanswered,
            "notes": list(self.notes),
            "places": self.places,
        }

    @classmethod
    def from_dict(cls, known: Mapping[str, Any]) -> Self:
        """Return findings from what `to_dict` has made of them.

        Example:
            >>> Findings.from_dict(Findings(clean=["NRM101"]).to_dict()).clean
            ['NRM101']
        """
        return cls(
            [Finding(**fields) for fields in known["findings"]],
            known["clean"],
            known["unanswered"],
            tuple(known["notes"]),
            known["places"],
        )

    @property
    def worst(self) -> FindingLevel | None:
        """The level of the worst of them; None where there is none."""
        return self[0].level if self else None


def _badness(finding: Finding) -> tuple[int, float]:
    return LEVELS.index(finding.level), -finding.confidence
