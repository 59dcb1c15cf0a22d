"""Runs rules over evidence."""

from normwise.evidence import Evidence
from normwise.rules.finding import Finding, Findings
from normwise.rules.registry import all_rules
from normwise.rules.rule import NotEnough, Rule
from normwise.rules.selection import Selection

_MISSING = (
    "needs a network",
    "needs a forward pass",
    "needs a backward pass",
    "needs optimizer steps",
)


def diagnose(evidence: Evidence, selection: Selection | None = None) -> Findings:
    """Run the selected rules.

    Args:
        evidence: what was measured.
        selection: which rules, and what is ignored; None runs all and ignores nothing.

    Returns:
        The findings, the worst first; and which rules found nothing, and which could not tell.

    Example:
        >>> from normwise.evidence import Level
        >>> found = diagnose(Evidence(Level.STRUCTURE))
        >>> found, "ACT101" in found.unanswered
        ([], True)
    """
    selection = selection or Selection(tuple(all_rules()))
    return leave_out(judge(evidence, selection), selection)


def judge(evidence: Evidence, selection: Selection) -> Findings:
    """Run the selected rules, and ignore nothing."""
    rules = all_rules()
    findings: list[Finding] = []
    clean: list[str] = []
    unanswered: dict[str, str] = {}
    for code in selection.codes:
        try:
            found = run(rules[code], evidence)
        except NotEnough as reason:
            unanswered[code] = str(reason)
            continue
        findings += found
        if not found:
            clean.append(code)
    return Findings(findings, clean, unanswered, evidence.notes)


def leave_out(findings: Findings, selection: Selection) -> Findings:
    """Leave out what is ignored or known, and note which ignores match nothing any more."""
    unused = [
        ignore
        for ignore in selection.ignores
        if not any(map(ignore.covers, findings))
        and not any(code.startswith(ignore.code) for code in findings.unanswered)
    ]
    notes = (f"nothing matches the ignored {i.code}@{i.where} any more: remove it" for i in unused)
    kept = [finding for finding in findings if not selection.accepts(finding)]
    return Findings(
        kept, findings.clean, findings.unanswered, (*findings.notes, *notes), findings.places
    )


def run(rule: Rule, evidence: Evidence) -> list[Finding]:
    """Run one rule.

    Raises:
        NotEnough: the evidence does not tell.
    """
    if evidence.level < rule.needs:
        raise NotEnough(_MISSING[rule.needs])
    return list(rule.check(evidence))
