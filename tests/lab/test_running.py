import math

import pytest
import torch

import normwise as nw
from normwise.errors import UsageError


def test_a_run_leaves_random_numbers_and_threads_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    threads = torch.get_num_threads()
    result = nw.lab.run("bn-identity", seed=3, budget="quick")
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads
    assert (result.seed, result.budget.seeds, result.data) == (3, 6, "digits")
    assert result.seconds > 0


def test_the_seed_decides():
    first, again, other = (nw.lab.run("bn-identity", seed=seed).frame() for seed in (0, 0, 1))
    assert first.equals(again)
    assert not first.equals(other)


def test_mistakes_are_told_before_anything_runs():
    with pytest.raises(UsageError) as caught:
        nw.lab.run_all(["bn-sped", "bn-identity", "nothing"])
    assert len(caught.value.problems) == 2
    assert "did you mean 'bn-speed'?" in caught.value.problems[0]
    with pytest.raises(UsageError, match=r"no budget is called 'ful'.*did you mean 'full'"):
        nw.lab.run("bn-identity", budget="ful")
    with pytest.raises(UsageError, match="did you mean 'digits'"):
        nw.lab.run("bn-identity", data="digit")


def test_a_budget_out_of_range():
    with pytest.raises(UsageError) as caught:
        nw.lab.Budget(seeds=0, length=2)
    assert len(caught.value.problems) == 2


def test_a_result_as_plain_values():
    result = nw.lab.run("bn-identity")
    told = result.to_dict()
    assert told["verdict"] == "holds"
    assert told["numbers"][0]["low"] is None
    assert result.number("largest |y − x|", "γ = σ, β = μ").estimate < 1e-12
    assert math.isnan(result.numbers[0].low)
    with pytest.raises(KeyError):
        result.number("no such number")
