from pathlib import Path

import pytest

from normwise.errors import UsageError
from normwise.stack import Evaluation, Outcome
from normwise.study.record import Record
from normwise.study.store import Store

IDENTITY = {"data": "ab12", "lr": 0.1, "weight_decay": None}


def record(variant: str = "plain", seed: int = 0, loss: float = 0.5) -> Record:
    return Record(variant, seed, Outcome("done", 3, [Evaluation(3, loss, loss, 0.9)], 0.4, 0.8))


def begun(folder: Path, *records: Record) -> Store:
    store = Store(folder)
    store.check(IDENTITY, resume=False)
    store.begin({"identity": IDENTITY, "variants": {"plain": "1111", "batch": "2222"}})
    for each in records:
        store.save(each)
    return store


def refuse(folder: Path, identity=IDENTITY, resume=True) -> str:
    with pytest.raises(UsageError) as caught:
        Store(folder).check(identity, resume)
    [problem] = caught.value.problems
    return problem


def test_records_are_found_again_by_variant_and_seed(tmp_path: Path):
    names = ["plain", "batch:after+dropout=0.2", "a/b", "a%2Fb", "..", "мой вариант", "x" * 400]
    names.append("x" * 399 + "y")
    records = [record(name, seed) for name in names for seed in (0, 7)]
    store = begun(tmp_path / "study", *records)
    assert store.records() == {(r.variant, r.seed): r for r in records}
    assert {p.parent for p in (tmp_path / "study").rglob("*.json")} == {
        tmp_path / "study",
        tmp_path / "study" / "runs",
    }


def test_saving_again_replaces(tmp_path: Path):
    store = begun(tmp_path, record(loss=0.5), record(loss=0.25))
    assert store.records() == {("plain", 0): record(loss=0.25)}


@pytest.mark.parametrize("content", ["", '{"variant": "pla', "[]", "\0\0", "null"])
def test_what_cannot_be_read_counts_as_not_run(tmp_path: Path, content: str):
    store = begun(tmp_path, record("plain", 0), record("plain", 1))
    (tmp_path / "runs" / "plain-1.json").write_text(content)
    (tmp_path / "runs" / "plain-2.json").write_bytes(b"\xff\xfe")
    assert set(store.records()) == {("plain", 0)}


def test_a_new_or_empty_folder_is_free(tmp_path: Path):
    Store(tmp_path / "new").check(IDENTITY, resume=False)
    Store(tmp_path / "new").check(IDENTITY, resume=True)
    assert not (tmp_path / "new").exists()
    Store(tmp_path).check(IDENTITY, resume=False)


def test_what_a_kill_leaves_of_the_first_file_does_not_matter(tmp_path: Path):
    (tmp_path / ".study.json.x7k2").write_text("{")
    Store(tmp_path).check(IDENTITY, resume=True)


def test_a_study_goes_on_only_when_asked_to(tmp_path: Path):
    begun(tmp_path, record("plain", 0), record("plain", 1))
    Store(tmp_path).check(IDENTITY, resume=True)
    told = refuse(tmp_path, resume=False)
    assert "holds this study already, with 2 finished runs: resume it (--resume" in told


def test_a_study_without_a_run_may_begin_again(tmp_path: Path):
    begun(tmp_path)
    Store(tmp_path).check(IDENTITY, resume=False)


def test_another_study_is_not_touched(tmp_path: Path):
    begun(tmp_path, record())
    told = refuse(tmp_path, {**IDENTITY, "lr": 0.2, "data": "cd34"})
    assert "holds another study (data: 'ab12' there, 'cd34' here; lr: 0.1 there, 0.2 here)" in told
    assert "threads: None there, 1 here" in refuse(tmp_path, {**IDENTITY, "threads": 1})


@pytest.mark.parametrize("content", ["", "{", "[]", "3"])
def test_a_manifest_that_cannot_be_read_is_no_study(tmp_path: Path, content: str):
    (tmp_path / "study.json").write_text(content)
    assert "holds files but no study: name a new or empty folder" in refuse(tmp_path)


def test_other_files_and_a_file_in_place_of_the_folder(tmp_path: Path):
    (tmp_path / "thesis.tex").write_text("x")
    assert "holds files but no study" in refuse(tmp_path)
    assert "is a file: name a folder" in refuse(tmp_path / "thesis.tex")


def test_variants_keep_their_networks(tmp_path: Path):
    begun(tmp_path, record())
    store = Store(tmp_path)
    store.check_variants({"plain": "1111", "layer": "3333"})
    with pytest.raises(UsageError, match="holds runs of 'plain', 'batch' with another network"):
        store.check_variants({"plain": "9999", "batch": "8888", "layer": "3333"})
    store.begin({"identity": IDENTITY, "variants": {"layer": "3333"}})
    with pytest.raises(UsageError, match="'batch'"):
        store.check_variants({"batch": "8888"})
    with pytest.raises(UsageError, match="'layer'"):
        store.check_variants({"layer": "8888"})
