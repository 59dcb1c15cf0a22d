import json

import pytest

from normwise.lab import Claim, Number, all_claims


def test_list_names_every_claim(normwise):
    ended = normwise("lab", "list")
    assert ended.code == 0
    for claim in all_claims().values():
        assert f"{claim.name} " in ended.out
        assert claim.statement in ended.out
    rows = json.loads(normwise("lab", "list", "--format", "json").out)
    assert [row["name"] for row in rows] == list(all_claims())


def test_run_tells_verdict_and_numbers(normwise):
    ended = normwise("lab", "run", "bn-identity")
    assert ended.code == 0
    first, header, right, swapped, *_ = ended.out.splitlines()
    assert first.split()[:2] == ["holds", "bn-identity"]
    assert header.strip() == "largest |y − x|"
    assert right.strip().startswith("γ = σ, β = μ")
    assert swapped.split()[-1] != right.split()[-1]


def test_run_as_json(normwise):
    [result] = json.loads(normwise("lab", "run", "bn-identity", "--format", "json").out)
    assert result["verdict"] == "holds"
    assert result["numbers"][0]["estimate"] < 1e-12


@pytest.mark.parametrize(("verdict", "code"), [("fails", 1), ("inconclusive", 0), ("holds", 0)])
def test_a_claim_that_fails_ends_in_1(normwise, monkeypatch, verdict: str, code: int):
    class Known(Claim):
        name, statement, source, criterion = "known", "It is known.", "nobody", "None."

        def run(self, seed, data, budget):
            return self.result(verdict, [Number("seeds", budget.seeds)], notes=["So it is [1]."])

    monkeypatch.setattr("normwise.lab.running.find_claims", lambda names: [Known()])
    ended = normwise("lab", "run", "known", "--budget", "quick")
    assert ended.code == code
    assert ended.out.startswith(f"{verdict}  known  It is known.")
    assert "seeds  6" in ended.out
    assert "note: So it is [1]." in ended.out


def test_wrong_use(normwise):
    for arguments, told in [
        ((), "name the claims to run, or give --all"),
        (("bn-speed", "--all"), "name the claims to run, or give --all"),
        (("bn-sped",), "did you mean 'bn-speed'?"),
        (("bn-identity", "--budget", "ful"), "did you mean 'full'?"),
    ]:
        ended = normwise("lab", "run", *arguments)
        assert ended.code == 2
        assert told in ended.err
        assert ended.out == ""
