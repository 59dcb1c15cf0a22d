"""Rules turn evidence into findings: what is wrong with a network, where, and what to do."""

from normwise.rules.callbacks import lightning_callback, trainer_callback
from normwise.rules.check import check
from normwise.rules.engine import diagnose
from normwise.rules.finding import Finding, Findings
from normwise.rules.html import write_page
from normwise.rules.pages import explain_rule, page, write_pages
from normwise.rules.registry import all_rules
from normwise.rules.rule import NotEnough, Rule
from normwise.rules.sarif import sarif
from normwise.rules.script import Outcome, run_script
from normwise.rules.selection import Ignore, Selection, read_selection, write_baseline
from normwise.rules.subject import Subject, load_subject
from normwise.rules.watch import Watch, watch

__all__ = [
    "Finding",
    "Findings",
    "Ignore",
    "NotEnough",
    "Outcome",
    "Rule",
    "Selection",
    "Subject",
    "Watch",
    "all_rules",
    "check",
    "diagnose",
    "explain_rule",
    "lightning_callback",
    "load_subject",
    "page",
    "read_selection",
    "run_script",
    "sarif",
    "trainer_callback",
    "watch",
    "write_baseline",
    "write_page",
    "write_pages",
]
