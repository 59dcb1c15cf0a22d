import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from normwise.errors import UsageError
from normwise.stats import family, holm, paired

VALUES = st.one_of(st.sampled_from([0.0, 0.1, 0.2, 0.3]), st.floats(-100, 100))


def slow_rejections(p: dict[str, float], alpha: float) -> tuple[dict[str, float], float]:
    """Holm's procedure as it is told: step down until one fails, noting the level of each."""
    levels: dict[str, float] = {}
    waiting = dict(p)
    while waiting:
        name = min(waiting, key=lambda key: waiting[key])
        if waiting[name] > alpha / len(waiting):
            return levels, alpha / len(waiting)
        levels[name] = alpha / len(waiting)
        del waiting[name]
    return levels, alpha


def test_holm_on_a_printed_example():
    # 4 * 0.01, 3 * 0.015, 2 * 0.04 and then never less than the one before.
    assert holm([0.04, 0.01, 0.05, 0.015]) == pytest.approx([0.08, 0.04, 0.08, 0.045])
    assert holm([0.6, 0.7]).tolist() == [1.0, 1.0]
    assert holm([0.03]).tolist() == [0.03]
    assert holm([0.02, 0.02]).tolist() == [0.04, 0.04]
    assert holm([]).tolist() == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.floats(0.001, 0.5))
def test_holm_rejects_what_stepping_down_rejects(pvalues: list[float], alpha: float):
    named = {str(i): p for i, p in enumerate(pvalues)}
    rejected, _ = slow_rejections(named, alpha * (1 + 1e-9))
    surely, _ = slow_rejections(named, alpha * (1 - 1e-9))
    adjusted = holm(pvalues)
    assert set(surely) <= {str(i) for i, p in enumerate(adjusted) if p <= alpha} <= set(rejected)
    assert np.all(adjusted >= pvalues)
    assert np.all(np.diff(adjusted[np.argsort(pvalues)]) >= 0)


@pytest.mark.parametrize("pvalues", [[0.5, 1.2], [-0.1], [float("nan")], ["a"], 0.5])
def test_holm_refuses_what_is_no_probability(pvalues: object):
    with pytest.raises(UsageError, match="pvalues"):
        holm(pvalues)  # type: ignore[arg-type]


@given(
    st.integers(6, 9).flatmap(
        lambda n: st.tuples(
            st.lists(VALUES, min_size=n, max_size=n),
            st.lists(st.lists(VALUES, min_size=n, max_size=n), min_size=1, max_size=5),
        )
    ),
    st.sampled_from([0.05, 0.1, 0.3, 0.7]),
    st.sampled_from([0.0, 30.0, 300.0]),
)
def test_each_interval_agrees_with_its_adjusted_p(
    samples: tuple[list[float], list[list[float]]], alpha: float, shift: float
):
    baseline, others = samples
    treatments = {f"v{i}": [value + i * shift for value in other] for i, other in enumerate(others)}
    results = family(treatments, baseline, alpha=alpha)
    alone = {name: paired(values, baseline) for name, values in treatments.items()}
    rejected, last = slow_rejections({name: r.p for name, r in alone.items()}, alpha)
    assert list(results) == list(treatments)
    for name, result in results.items():
        assert (result.low <= 0 <= result.high) == (result.p > alpha)
        assert (result.verdict == "undecided") == (result.p > alpha) == (name not in rejected)
        assert result.difference == pytest.approx(alone[name].difference, abs=1e-12)
        if name not in rejected:
            assert result.alpha == last
        at_level = paired(treatments[name], baseline, alpha=result.alpha)
        assert (result.low, result.high) == (at_level.low, at_level.high)
    if len({r.p for r in alone.values()}) == len(alone):
        assert {name: results[name].alpha for name in rejected} == rejected


def test_equal_variants_are_judged_alike():
    baseline, better = [0.0] * 8, [1.0, 2, 3, 4, 5, 6, 7, 8]
    one, other = family({"one": better, "other": better}, baseline).values()
    assert one == other
    assert one.alpha == 0.025


def test_family_of_one_is_paired_and_of_none_is_empty():
    treatment, baseline = np.random.default_rng(0).normal(size=(2, 9))
    assert family({"only": treatment}, baseline) == {"only": paired(treatment, baseline)}
    assert family({}, baseline) == {}


def test_direction_and_margin_reach_every_variant():
    baseline = [1.0] * 8
    treatments = {"less": [0.0] * 8, "same": [1.01] * 8, "more": [2.0] * 8}
    results = family(treatments, baseline, higher_is_better=False, margin=0.1)
    assert [r.verdict for r in results.values()] == ["better", "equivalent", "worse"]


def test_all_mistakes_of_all_variants_come_at_once():
    with pytest.raises(UsageError) as caught:
        family({"a": [1.0], "b": [1.0, float("nan")]}, [1.0, 2.0], margin=0, alpha=0)
    found = "\n".join(caught.value.problems)
    assert len(caught.value.problems) == 4
    for part in ("'a' has 1 values and the baseline 2", "'b' has values that", "margin", "alpha"):
        assert part in found


@pytest.mark.parametrize("skewed", [False, True])
def test_any_false_verdict_in_a_study_of_equals_is_rare(skewed: bool):
    """Family-wise error: four variants and a baseline from one distribution, n = 10."""
    rng, repetitions = np.random.default_rng(7), 1000
    draws = rng.normal(size=(repetitions, 5, 10))
    draws = np.exp(1.5 * draws) if skewed else draws
    false = sum(
        any(result.verdict != "undecided" for result in family(named, baseline).values())
        for baseline, *others in draws
        for named in [{str(i): other for i, other in enumerate(others)}]
    )
    assert false <= binom.ppf(0.999, repetitions, 0.05)
    assert false > 0
