"""What is selected, ignored for a reason, or known already."""

from pathlib import Path

import pytest
import torch
from torch import nn

from normwise.errors import UsageError
from normwise.rules import Finding, Ignore, check, read_selection, write_baseline

KNOWN = ["ACT101", "NRM101", "NRM102"]


def found(code: str, where: str) -> Finding:
    return Finding(code, "name", "warning", where, None, None, None, "", "", 1.0)


def test_selection_by_codes_and_families():
    assert read_selection(KNOWN).codes == tuple(KNOWN)
    assert read_selection(KNOWN, "nrm").codes == ("NRM101", "NRM102")
    assert read_selection(KNOWN, ["ACT101", "NRM102"]).codes == ("ACT101", "NRM102")
    assert read_selection(KNOWN, ignore="NRM").codes == ("ACT101",)


def test_all_mistakes_at_once():
    with pytest.raises(UsageError) as caught:
        read_selection(KNOWN, "NRM201", ["ACT101@x", "XYZ"], "missing.json")
    assert [problem.split("(")[0].strip() for problem in caught.value.problems] == [
        "ignore='ACT101@x': say why it is ignored there, as in 'ACT101@x: the weights are frozen'",
        "there is no rule 'NRM201'",
        "there is no rule 'XYZ'",
        "cannot read the baseline missing.json: No such file or directory",
    ]


def test_a_family_is_suggested_too():
    with pytest.raises(UsageError, match=r"no rule 'NRN' \(did you mean 'NRM'\?\)"):
        read_selection(KNOWN, "NRN")


def test_a_place_is_ignored_for_a_reason():
    ignore = Ignore.read("NRM@encoder.*: kept as published")
    assert ignore.reason == "kept as published"
    assert ignore.covers(found("NRM101", "encoder.2.conv"))
    assert not ignore.covers(found("NRM101", "decoder.2"))
    assert not ignore.covers(found("ACT101", "encoder.2"))


def test_a_baseline_hides_what_was_there_and_nothing_else(tmp_path: Path):
    path = write_baseline([found("NRM101", "0"), found("NRM101", "0")], tmp_path / "known.json")
    selection = read_selection(KNOWN, baseline=path)
    assert selection.accepts(found("NRM101", "0"))
    assert not selection.accepts(found("NRM101", "1"))
    assert not selection.accepts(found("ACT101", "0"))


@pytest.mark.parametrize("content", ["", "[]", '{"findings": [1]}', '{"findings": 3}'])
def test_other_files_are_no_baseline(content: str, tmp_path: Path):
    path = tmp_path / "other.json"
    path.write_text(content)
    with pytest.raises(UsageError, match="no baseline"):
        read_selection(KNOWN, baseline=path)


def test_ignores_that_match_nothing_any_more_are_told():
    net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    batch = torch.randn(64, 4), torch.randint(0, 3, (64,))
    kept = check(net, batch, select="NRM101", ignore="NRM101@0: as published")
    assert (list(kept), list(kept.notes)) == ([], [])
    stale = check(net, batch, select="NRM101", ignore="NRM101@7: as published")
    assert [finding.where for finding in stale] == ["0"]
    assert stale.notes == ("nothing matches the ignored NRM101@7 any more: remove it",)
    unknown = check(net, batch[0], select="OPT103", ignore="OPT103@SGD: on purpose")
    assert unknown.notes == ()
