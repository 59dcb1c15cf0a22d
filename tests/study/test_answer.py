import math

import pandas as pd
import pytest

from normwise.study.answer import answer

NAN = math.nan
COLUMNS = [
    *("variant", "verdict", "estimate", "low", "high"),
    *("difference", "difference_low", "difference_high", "p", "steps_to_target", "steps_verdict"),
]
PLAIN = ("plain", "baseline", 0.9, 0.88, 0.92, NAN, NAN, NAN, NAN, 400.0, "baseline")
BATCH = ("batch", "better", 0.95, 0.93, 0.97, 0.05, 0.021, 0.0796, 0.00195, 120.0, "better")
LAYER = ("layer", "better", 0.94, 0.92, 0.96, 0.04, 0.01, 0.07, 0.004, 200.0, "undecided")
DROP = ("dropout=0.2", "undecided", 0.91, 0.89, 0.93, 0.01, -0.01, 0.03, 0.4, NAN, "undecided")
SLOW = ("lr=0.1x", "worse", 0.5, 0.48, 0.52, -0.4, -0.5, -0.3, 0.002, NAN, "worse")
SAME = ("wd=1e-9", "equivalent", 0.9, 0.88, 0.92, 0.0, -0.001, 0.001, 0.9, 400.0, "undecided")


def told(*rows, metric: str = "accuracy", seeds: int = 10) -> str:
    return answer(pd.DataFrame(rows, columns=pd.Index(COLUMNS)), metric, seeds)


def test_the_best_of_the_better_is_named_with_its_numbers():
    assert told(PLAIN, LAYER, BATCH, DROP, SLOW, SAME) == (
        "batch is better than plain: test accuracy 0.950 against 0.900 over 10 seeds "
        "(+0.050 [+0.021, +0.080], p = 0.002). It reaches the target after 120 steps (median), "
        "plain after 400. Also better: layer. Worse: lr=0.1x. Equivalent: wd=1e-9. "
        "Undecided: dropout=0.2."
    )


def test_speed_is_told_only_where_it_is_shown_to_be_better():
    assert "target" not in told(PLAIN, LAYER)
    assert told(PLAIN, LAYER).endswith("p = 0.004).")
    never = (*PLAIN[:-2], NAN, "baseline")
    assert told(never, BATCH).endswith("after 120 steps (median), plain not in half of its runs.")


def test_a_tiny_p_is_bounded():
    assert "p <0.001)" in told(PLAIN, (*BATCH[:8], 0.0001, *BATCH[9:]))


def test_nobody_better():
    assert told(PLAIN, DROP) == (
        "dropout=0.2 is not shown to be better than plain, which reaches a test accuracy of 0.900 "
        "over 10 seeds. Undecided: dropout=0.2."
    )
    assert told(PLAIN, DROP, SLOW).startswith("None of 2 variants is shown to be better than plai")
    assert told(PLAIN, DROP, SLOW).endswith("Worse: lr=0.1x. Undecided: dropout=0.2.")


def test_one_variant_and_one_seed():
    assert told(PLAIN, seeds=1, metric="R²") == "plain reaches a test R² of 0.900 over 1 seed."


def test_close_intervals_get_more_decimals():
    close = [(*row[:3], row[2] - 0.0002, row[2] + 0.0002, *row[5:]) for row in (PLAIN, BATCH)]
    assert "test accuracy 0.95000 against 0.90000" in told(*close)


@pytest.mark.parametrize("verdict", ["better", "undecided"])
def test_variants_without_a_number(verdict: str):
    empty = ("mine", verdict, *[NAN] * 8, "undecided")
    assert "mine" in told(("plain", "baseline", *[NAN] * 8, "baseline"), empty)
