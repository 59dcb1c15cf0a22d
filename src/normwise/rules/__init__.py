"""Rules turn evidence into findings: what is wrong with a network, where, and what to do."""

from normwise.rules.check import check
from normwise.rules.engine import diagnose
from normwise.rules.finding import Finding, Findings
from normwise.rules.pages import explain_rule, page
from normwise.rules.registry import all_rules
from normwise.rules.rule import NotEnough, Rule
from normwise.rules.selection import Ignore, Selection, read_selection, write_baseline
from normwise.rules.subject import Subject, load_subject
from normwise.rules.watch import Watch, watch

__all__ = [
    "Finding",
    "Findings",
    "Ignore",
    "NotEnough",
    "Rule",
    "Selection",
    "Subject",
    "Watch",
    "all_rules",
    "check",
    "diagnose",
    "explain_rule",
    "load_subject",
    "page",
    "read_selection",
    "watch",
    "write_baseline",
]
