import numpy as np
import pytest

from normwise.errors import Problems
from normwise.stats.reading import (
    check_count,
    check_margin,
    check_same_seeds,
    check_share,
    read_numbers,
    read_sample,
)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([], "is empty"),
        (0.9, "has shape ()"),
        ([[0.9, 0.8]], "has shape (1, 2)"),
        (["high", "low"], "expected a sequence of numbers"),
        ([0.9, None], "nan at position 1"),
        ([float("inf"), 0.9, float("nan")], "inf at position 0, nan at position 2."),
        ([float("nan")] * 7, "nan at position 4 and 2 more"),
    ],
)
def test_bad_sample_is_one_problem_that_says_what_arrived(values: object, says: str):
    problems = Problems()
    read_sample("treatment", values, problems)  # type: ignore[arg-type]
    assert len(problems.found) == 1
    assert problems.found[0].startswith("treatment")
    assert says in problems.found[0]


def test_good_sample_arrives_as_float64():
    problems = Problems()
    sample = read_sample("treatment", np.array([1, 2, 3], dtype=np.float32), problems)
    assert problems.found == []
    assert sample.dtype == np.float64
    assert sample.tolist() == [1.0, 2.0, 3.0]
    assert read_numbers("steps", [], problems, may_be_empty=True).shape == (0,)
    assert problems.found == []


def test_unequal_counts_name_both():
    problems = Problems()
    check_same_seeds("treatment", np.zeros(5), np.zeros(6), problems)
    assert "5 values and the baseline 6" in problems.found[0]
    check_same_seeds("treatment", np.zeros(6), np.zeros(6), problems)
    check_same_seeds("treatment", np.zeros(0), np.zeros(6), problems)  # noted when it was read
    assert len(problems.found) == 1


@pytest.mark.parametrize("value", [0, 1, -0.05, 5, float("nan")])
def test_share_out_of_range(value: float):
    problems = Problems()
    check_share("alpha", value, 0.05, problems)
    assert problems.found == [f"alpha={value}: expected a share between 0 and 1, such as 0.05"]


@pytest.mark.parametrize("margin", [0, -0.1, float("inf"), float("nan")])
def test_margin_out_of_range(margin: float):
    problems = Problems()
    check_margin(margin, problems)
    assert problems.found[0].startswith(f"margin={margin}: ")


@pytest.mark.parametrize("value", [0, -1, 1.5, 2.0, float("nan")])
def test_count_out_of_range(value: float):
    problems = Problems()
    check_count("n", value, problems)  # type: ignore[arg-type]
    assert problems.found == [f"n={value}: expected a whole number of at least 1"]


def test_what_is_in_range_is_no_problem():
    problems = Problems()
    check_share("alpha", 0.05, 0.05, problems)
    check_margin(None, problems)
    check_margin(0.01, problems)
    check_count("n", np.int64(1), problems)  # type: ignore[arg-type]
    assert problems.found == []
