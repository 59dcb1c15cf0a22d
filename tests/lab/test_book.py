import json
from dataclasses import replace
from typing import Any

import pytest

import normwise as nw
from normwise.lab.book import book, tally
from normwise.lab.families import by_family


@pytest.fixture(scope="module")
def result() -> nw.lab.Result:
    return nw.lab.run("bn-identity", seed=2)


def test_the_book_holds_verdict_numbers_and_erratum(result, tmp_path):
    page = nw.lab.write_book([result], tmp_path / "lab")
    text = page.read_text()
    assert "The claim holds." in text
    assert "BN is the identity for γ = μ and β = σ." in text, "erratum 1, as printed"
    assert "BN is the identity for γ = σ and β = μ." in text, "and as it is right"
    assert "normwise lab run bn-identity --data digits --seed 2" in text
    assert text.count('class="plot wide"') == len(result.figures)
    [told] = json.loads((tmp_path / "lab" / "results.json").read_text())
    assert told["verdict"] == "holds"
    assert told["numbers"][0]["estimate"] == result.numbers[0].estimate
    assert (tmp_path / "lab" / "figures" / "bn-identity-1.svg").exists()


def test_the_tally_counts_and_names(result):
    failing, open_ = replace(result, verdict="fails"), replace(result, verdict="inconclusive")
    assert tally([result, result]) == "2 of 2 claims hold."
    told = "1 of 4 claims holds. Not so: bn-identity and bn-identity. Inconclusive: bn-identity."
    assert tally([result, failing, failing, open_]) == told


def test_a_quick_look_says_so(result):
    tables = book([replace(result, budget=nw.lab.Budget(6, 0.5))])
    assert tables.facts["length of the trainings"] == "50 % of the full one: a quick look"
    assert tables.facts["seeds"] == "2 to 7"
    assert tables.notes[0].startswith("A quick look: 6 seeds, and trainings of 50 % of the length")
    assert not any("quick" in note for note in book([result]).notes)


def test_what_does_it_again_has_the_budget(result):
    def code(budget: nw.lab.Budget) -> dict[str, str]:
        [chapter] = book([replace(result, budget=budget)]).chapters
        return dict(chapter.code)

    budgets = [nw.lab.Budget(), nw.lab.Budget(6, 0.5), nw.lab.Budget(2)]
    full, quick, own = map(code, budgets)
    assert full["In a terminal"] == "normwise lab run bn-identity --data digits --seed 2"
    assert quick["In a terminal"] == full["In a terminal"] + " --budget quick"
    assert list(own) == ["In Python"]
    for told, budget in zip((full, quick, own), budgets, strict=True):
        names: dict[str, Any] = {}
        exec(told["In Python"], names)
        assert (names["result"].seed, names["result"].budget) == (2, budget)


def test_families_stand_together(result):
    def named(name: str):
        claim = type("Other", (type(result.claim),), {"name": name})()
        return replace(result, claim=claim)

    names = ["linear-collapse", "init-he", "bn-speed", "dropout-bn", "bn-lr", "ln-axes"]
    ordered = [each.claim.name for each in by_family(named(name) for name in names)]
    assert ordered == ["bn-speed", "bn-lr", "ln-axes", "dropout-bn", "init-he", "linear-collapse"]
