"""What every claim must have, whoever adds it."""

from pathlib import Path

import pytest

from normwise.lab import ERRATA, Claim, all_claims

FOLDER = Path(__file__).parents[2] / "src" / "normwise" / "lab" / "claims"


@pytest.mark.parametrize("claim", all_claims().values(), ids=lambda claim: claim.name)
def test_a_claim_says_what_it_is(claim: Claim):
    for field in ("statement", "source", "experiment", "measured", "refuted_by", "criterion"):
        text = getattr(claim, field)
        assert text.endswith(".") or field == "source", (field, text)
    assert claim.statement.count(". ") == 0, "one sentence"
    assert claim.criterion.startswith("Holds where")
    assert set(claim.errata) <= set(ERRATA)
    stem = claim.name.replace("-", "_")
    assert (FOLDER / f"{stem}.py").exists()
    assert (Path(__file__).parent / "claims" / f"test_{stem}.py").exists()


def test_one_file_is_one_claim():
    files = {path.stem for path in FOLDER.glob("*.py")} - {"__init__"}
    assert files == {name.replace("-", "_") for name in all_claims()}


def test_errata_are_numbered_from_one():
    assert list(ERRATA) == list(range(1, 14))
    assert all(number == erratum.number for number, erratum in ERRATA.items())
