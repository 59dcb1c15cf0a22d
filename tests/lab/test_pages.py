"""The pages under docs are those that the claims' classes make."""

from pathlib import Path

import pytest

from normwise.lab import ERRATA, all_claims
from normwise.lab.pages import overview, page

DOCS = Path(__file__).parents[2] / "docs" / "lab"
STALE = "run `make pages`"


def test_there_is_a_page_for_each_claim_and_no_other():
    assert {path.stem for path in DOCS.glob("*.md")} == {*all_claims(), "README"}, STALE


@pytest.mark.parametrize("name", all_claims())
def test_page_is_up_to_date(name: str):
    assert (DOCS / f"{name}.md").read_text("utf-8") == page(all_claims()[name]), STALE


def test_overview_is_up_to_date_and_lists_claims_and_errata_once():
    text = overview()
    assert (DOCS / "README.md").read_text("utf-8") == text, STALE
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert sum(row.startswith("| [") for row in rows) == len(all_claims())
    assert sum(row.split("|")[1].strip().isdigit() for row in rows) == len(ERRATA)


def test_a_page_tells_the_erratum_of_its_claim():
    text = page(all_claims()["bn-identity"])
    assert text.startswith("# bn-identity\n")
    for part in vars(ERRATA[1]).values():
        assert str(part) in text
