"""The pages under docs are those that the rules' docstrings make."""

from pathlib import Path

import pytest

from normwise.rules import all_rules, page, write_pages
from normwise.rules.pages import overview

DOCS = Path(__file__).parents[2] / "docs" / "rules"
STALE = "run `make pages`"


def test_there_is_a_page_for_each_rule_and_no_other():
    assert {path.stem for path in DOCS.glob("*.md")} == {*all_rules(), "README"}, STALE


@pytest.mark.parametrize("code", all_rules())
def test_page_is_up_to_date(code: str):
    assert (DOCS / f"{code}.md").read_text("utf-8") == page(all_rules()[code]), STALE


def test_overview_is_up_to_date():
    assert (DOCS / "README.md").read_text("utf-8") == overview(), STALE


def test_overview_has_a_row_for_each_rule_with_its_summary_in_one_line():
    rows = overview().splitlines()[4:]
    assert [row.split("|")[2].strip() for row in rows] == [r.name for r in all_rules().values()]
    assert all(row.count("|") == 6 for row in rows)


def test_pages_are_written_where_asked(tmp_path: Path):
    paths = write_pages(tmp_path / "new")
    assert {path.name for path in paths} == {f"{code}.md" for code in all_rules()} | {"README.md"}
    assert paths[0].read_text("utf-8").startswith("# ACT101: dead-units\n")
