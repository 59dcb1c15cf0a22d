"""Every rule is complete, documented, and has its cases."""

import ast
import re
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from normwise.evidence import Level
from normwise.rules import Rule, all_rules, page
from normwise.rules.finding import LEVELS
from normwise.rules.pages import HEADINGS, read

RULES = all_rules()
FAMILIES = {"NRM", "DRP", "INI", "ACT", "GRD", "LOS", "OPT", "MOD", "DAT"}
SOURCE = Path(__file__).parents[2] / "src" / "normwise" / "rules"


def test_every_file_named_after_a_code_holds_the_rule():
    files = {path.stem.upper() for path in SOURCE.glob("[a-z][a-z][a-z][0-9][0-9][0-9].py")}
    assert set(RULES) == files


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
class TestRule:
    def test_is_complete(self, rule: Rule):
        assert rule.code[:3] in FAMILIES
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", rule.name)
        assert rule.level in LEVELS
        assert re.fullmatch(r"\d+\.\d+\.\d+", rule.since)
        assert isinstance(rule.needs, Level)

    def test_is_frozen(self, rule: Rule):
        with pytest.raises(FrozenInstanceError):
            rule.anything = 1  # pyright: ignore

    def test_has_a_page_under_the_five_headings(self, rule: Rule):
        summary, sections = read(rule)
        assert summary
        assert tuple(sections) == HEADINGS
        assert all(sections.values())
        assert page(rule).startswith(f"# {rule.code}: {rule.name}\n")

    def test_has_bad_fine_and_nearly_bad_cases(self, rule: Rule):
        path = Path(__file__).parent / f"test_{rule.code.lower()}.py"
        names = [n.name for n in ast.parse(path.read_text("utf-8")).body if hasattr(n, "name")]
        for kind in ("bad", "ok", "near"):
            assert any(name.startswith(f"{kind}_") for name in names), kind


def test_names_are_unique():
    assert len({rule.name for rule in RULES.values()}) == len(RULES)
