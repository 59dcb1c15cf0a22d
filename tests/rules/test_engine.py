"""Rules run over evidence; clean, found and unknown are three answers."""

import pytest

from normwise.evidence import Evidence, Level
from normwise.rules import Rule, all_rules, diagnose, read_selection
from normwise.rules.engine import run
from normwise.rules.rule import NotEnough


def test_no_evidence_is_no_clean_bill():
    findings = diagnose(Evidence(Level.STRUCTURE))
    assert list(findings) == []
    assert findings.clean == []
    assert set(findings.unanswered) == set(all_rules())


@pytest.mark.parametrize("rule", all_rules().values(), ids=all_rules())
def test_level_is_asked_for_before_the_rule(rule: Rule):
    if rule.needs is Level.STRUCTURE:
        pytest.skip("needs nothing")
    with pytest.raises(NotEnough, match="needs"):
        run(rule, Evidence(Level(rule.needs - 1)))


def test_only_selected_rules_run():
    findings = diagnose(Evidence(Level.STRUCTURE), read_selection(all_rules(), "NRM101,LOS"))
    assert all(code.startswith(("NRM101", "LOS")) for code in findings.unanswered)
