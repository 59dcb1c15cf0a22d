import numpy as np
import pytest

from normwise.errors import UsageError
from normwise.stats import family, paired, power_warning, seeds_needed, smallest_p


@pytest.mark.parametrize("n", [1, 5, 6, 10, 16, 17, 30])
def test_smallest_p_is_the_one_where_all_differences_agree(n: int):
    assert smallest_p(n) == paired(np.arange(1, n + 1), np.zeros(n)).p == 2 / 2 ** min(n, 16)


@pytest.mark.parametrize(
    ("comparisons", "alpha", "n"),
    [
        (1, 0.05, 6),
        (2, 0.05, 7),
        (3, 0.05, 7),
        (4, 0.05, 8),
        (5, 0.05, 8),
        (1, 0.01, 8),
        (1, 0.0625, 5),
    ],
)
def test_seeds_needed_is_where_verdicts_become_possible(comparisons: int, alpha: float, n: int):
    assert seeds_needed(comparisons, alpha) == n

    def one_clear_winner(seeds: int) -> str:
        flat = {str(i): np.zeros(seeds) for i in range(comparisons - 1)}
        return family({"best": np.ones(seeds), **flat}, np.zeros(seeds), alpha=alpha)[
            "best"
        ].verdict

    assert one_clear_winner(n) == "better"
    assert one_clear_winner(n - 1) == "undecided"


def test_warning_states_the_numbers():
    assert power_warning(5) == (
        "5 seeds cannot show a difference: the smallest possible p is 0.062, above 0.05; "
        "use 6 or more."
    )
    assert power_warning(7, comparisons=5) == (
        "7 seeds cannot show a difference among 5 comparisons: the smallest possible p is 0.016, "
        "above 0.05/5 = 0.01; use 8 or more."
    )
    assert (power_warning(1) or "").startswith("1 seed cannot")
    assert power_warning(6) is None
    assert power_warning(8, comparisons=5) is None
    assert power_warning(20, comparisons=5) is None


def test_out_of_range():
    with pytest.raises(UsageError, match="n=0"):
        smallest_p(0)
    with pytest.raises(UsageError, match=r"comparisons=0[\s\S]*alpha=2"):
        seeds_needed(0, alpha=2)
    with pytest.raises(UsageError, match="compare fewer variants"):
        seeds_needed(10_000)
    with pytest.raises(UsageError) as caught:
        power_warning(0, 0, 0)
    assert len(caught.value.problems) == 3
