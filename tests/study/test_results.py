import itertools
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from normwise import stats
from normwise.evidence import Distribution
from normwise.report.tables import HISTOGRAMS, LAYERS, REACHED, SUMMARY
from normwise.stack import Evaluation, Outcome
from normwise.study.record import Record
from normwise.study.results import Results

SEEDS = range(7)
STEPS = (0, 10, 20, 30)
VARIANTS = ("plain", "batch", "worse")


def layer(name: str) -> Distribution:
    return Distribution(name, "relu", 0.0, 1.0, -1.6, 1.6, 0.25, math.nan, (0, 1, 3), (0.5, 0.25))


def run(variant: str, seed: int, gain: float, snapshots: Sequence[int] = ()) -> Record:
    """A run whose numbers all follow from its variant's gain and its seed."""
    noise = ((seed * 37) % 11 - 5) / 500
    curve = [0.1, 0.5 + gain + noise, 0.7 + gain - noise, 0.69 + gain + noise]
    rows = [
        Evaluation(step, math.nan if step == 0 else 2 - value, 2.1 - value, value)
        for step, value in zip(STEPS, curve, strict=True)
    ]
    outcome = Outcome("done", 30, rows, 1.3 - gain, 0.6 + gain + noise * 1.5, 1.0 + seed)
    return Record(variant, seed, outcome, {step: [layer("a"), layer("b")] for step in snapshots})


def diverged(variant: str, seed: int) -> Record:
    rows = [Evaluation(0, math.nan, 2.3, 0.1), Evaluation(10, math.inf, math.nan, math.nan)]
    return Record(variant, seed, Outcome("diverged", 10, rows, seconds=0.5))


def results(records: Sequence[Record] | None = None, **changes) -> Results:
    gains = {"plain": 0.0, "batch": 0.2, "worse": -0.1}
    if records is None:
        records = [
            run(variant, seed, gains[variant] + 0.01 * (seed * place % 3))
            for place, variant in enumerate(VARIANTS, 1)
            for seed in SEEDS
        ]
    settings = {
        "records": records,
        "variants": VARIANTS,
        "seeds": list(SEEDS),
        "metric": "acc",
        "target": 0.7,
        "margin": None,
        "budget": 30,
        "steps_per_epoch": 4,
    }
    return Results(**{**settings, **changes})


def with_losses() -> Results:
    """Of seven batch runs two diverge, and of seven worse runs all."""
    records = [run("plain", seed, 0.01 * (seed % 3)) for seed in SEEDS]
    records += [diverged("batch", s) if s in (2, 5) else run("batch", s, 0.2) for s in SEEDS]
    records += [diverged("worse", seed) for seed in SEEDS]
    return results(records)


def test_frame_has_the_columns_of_the_contract():
    for metric in ("acc", "r2"):
        assert list(results(metric=metric).frame()) == [
            *("variant", "seed", "status", "steps", "steps_to_target", "train_loss", "val_loss"),
            *(f"val_{metric}", f"best_val_{metric}", "test_loss", f"test_{metric}", "seconds"),
        ]


def test_frame_tells_every_run_in_order():
    found = results()
    frame = found.frame()
    assert frame["variant"].tolist() == [v for v in VARIANTS for _ in SEEDS]
    assert frame["seed"].tolist() == list(SEEDS) * 3
    for (_, row), record in zip(frame.iterrows(), found.records, strict=True):
        outcome = record.outcome
        values = [e.val_metric for e in outcome.evaluations]
        arrived = [step for step, value in zip(STEPS, values, strict=True) if value >= 0.7]
        assert (row["status"], row["steps"], row["seconds"]) == ("done", 30, outcome.seconds)
        assert (row["test_loss"], row["test_acc"]) == (outcome.test_loss, outcome.test_metric)
        assert row["train_loss"] == outcome.evaluations[-1].train_loss
        assert (row["val_loss"], row["val_acc"]) == (2.1 - values[-1], values[-1])
        assert row["best_val_acc"] == max(values)
        assert row["steps_to_target"] is pd.NA if not arrived else arrived[0]
    assert frame["steps_to_target"].isna().any()
    assert frame["steps_to_target"].notna().any()


def test_a_diverged_run_in_the_frame():
    row = with_losses().frame().iloc[9]
    assert (row["variant"], row["seed"], row["status"], row["steps"]) == (
        "batch",
        2,
        "diverged",
        10,
    )
    assert row["steps_to_target"] is pd.NA
    assert row["train_loss"] == math.inf
    assert np.isnan([row["val_acc"], row["test_acc"], row["test_loss"]]).all()
    assert row["best_val_acc"] == 0.1


def test_curves_tell_every_evaluation():
    found = results()
    curves = found.curves()
    assert list(curves) == [
        *("variant", "seed", "step", "epoch", "train_loss", "val_loss", "val_acc"),
    ]
    flat = [(r, e) for r in found.records for e in r.outcome.evaluations]
    assert len(curves) == len(flat) == 3 * 7 * 4
    assert curves["val_acc"].tolist() == [e.val_metric for _, e in flat]
    assert curves["seed"].tolist() == [r.seed for r, _ in flat]
    assert (curves["epoch"] == curves["step"] / 4).all()


def signflip(differences: np.ndarray) -> float:
    """The two-sided p by all 2^n signs, written as its definition reads."""
    observed = abs(differences.mean()) - 1e-12
    signs = itertools.product((1, -1), repeat=len(differences))
    return float(np.mean([abs((differences * np.array(s)).mean()) >= observed for s in signs]))


def test_summary_follows_from_the_frame():
    found = results()
    frame, summary = found.frame(), found.summary()
    assert list(summary) == list(SUMMARY)
    assert summary["variant"].tolist() == list(VARIANTS)
    scores = frame.pivot(index="seed", columns="variant", values="test_acc")
    steps = frame.pivot(index="seed", columns="variant", values="steps_to_target")
    losses = frame.pivot(index="seed", columns="variant", values="train_loss")
    capped = steps.astype(float).fillna(30)
    raw = {v: signflip((scores[v] - scores["plain"]).to_numpy()) for v in VARIANTS[1:]}
    smaller, larger = sorted(raw.values())
    holm = {smaller: min(1, 2 * smaller), larger: max(larger, min(1, 2 * smaller))}
    for _, row in summary.iterrows():
        variant = row["variant"]
        assert (row["runs"], row["diverged"]) == (7, 0)
        assert row["estimate"] == pytest.approx(scores[variant].mean(), abs=1e-12)
        interval = stats.bca(scores[variant].to_numpy())
        assert (row["low"], row["high"]) == (interval.low, interval.high)
        assert row["train_loss"] == pytest.approx(losses[variant].mean(), abs=1e-12)
        assert row["seconds"] == 4.0
        assert row["success"] == steps[variant].notna().mean()
        if row["success"] >= 0.5:
            assert row["steps_to_target"] == sorted(capped[variant])[3]
        else:
            assert math.isnan(row["steps_to_target"])
        if variant == "plain":
            assert (row["verdict"], row["steps_verdict"], row["pairs"]) == ("baseline",) * 2 + (0,)
            assert np.isnan(
                row[["difference", "difference_low", "p", "steps_p"]].astype(float)
            ).all()
            continue
        gap = scores[variant] - scores["plain"]
        assert row["difference"] == pytest.approx(gap.mean(), abs=1e-12)
        assert row["difference_low"] < row["difference"] < row["difference_high"]
        assert row["p"] == pytest.approx(holm[raw[variant]])
        assert row["verdict"] == {"batch": "better", "worse": "worse"}[variant]
        assert row["steps_difference"] == pytest.approx((capped[variant] - capped["plain"]).mean())
        assert row["train_loss_wins"] == (losses[variant] < losses["plain"]).sum()
        assert row["pairs"] == 7


def test_diverged_runs_count_as_the_worst_outcome():
    found = with_losses()
    summary = found.summary().set_index("variant")
    frame = found.frame()
    batch = frame[frame["variant"] == "batch"]["test_acc"].fillna(0.0)
    assert summary["diverged"].tolist() == [0, 2, 7]
    assert summary.loc["batch", "estimate"] == pytest.approx(batch.mean())
    assert summary.loc["worse", "estimate"] == 0
    assert summary.loc["worse", "verdict"] == "worse"
    assert summary.loc["batch", "train_loss"] == math.inf
    assert summary.loc["batch", "train_loss_wins"] == 5
    assert summary.loc["worse", "train_loss_wins"] == 0
    assert summary.loc["batch", "success"] == pytest.approx(5 / 7)
    assert summary.loc["worse", "success"] == 0


def test_a_diverged_regression_counts_as_the_worst_r2_of_all():
    def scored(variant: str, seed: int, value: float) -> Record:
        rows = [Evaluation(0, math.nan, 1.0, -0.1), Evaluation(10, 1.0, 1.0, value)]
        return Record(variant, seed, Outcome("done", 10, rows, 1.0, value))

    records = [scored("plain", 0, 0.5), scored("plain", 1, -3.0), scored("batch", 0, 0.6)]
    found = results(
        [*records, diverged("batch", 1)], variants=("plain", "batch"), seeds=[0, 1], metric="r2"
    )
    assert found.summary()["estimate"].tolist() == pytest.approx([-1.25, -1.2])
    positive = results([scored("plain", 0, 0.5), diverged("plain", 1)], variants=("plain",))
    assert positive.summary()["estimate"].tolist() == [0.25]


def test_the_target_is_the_baselines_median_best_where_none_is_given():
    found = results(target=None)
    best = [max(e.val_metric for e in r.outcome.evaluations) for r in found.records[:7]]
    assert found.target_or_default == np.median(best)
    assert found.frame()["steps_to_target"].notna()[:7].mean() >= 0.5
    assert results(target=0.3).target_or_default == 0.3


def test_a_baseline_that_never_has_a_number():
    never = [
        Record("plain", s, Outcome("diverged", 5, [Evaluation(0, math.nan, math.nan, math.nan)]))
        for s in SEEDS
    ]
    found = results(never + [run("batch", s, 0.2) for s in SEEDS], target=None)
    assert found.target_or_default is None
    found = results(
        never + [run("batch", s, 0.2) for s in SEEDS], variants=("plain", "batch"), target=None
    )
    summary = found.summary().set_index("variant")
    assert summary.loc["batch", "verdict"] == "better"
    assert summary.loc["batch", "steps_verdict"] == "undecided"
    assert found.frame()["steps_to_target"].isna().all()
    assert len(found.reached()) == 0


def test_an_unfinished_study_compares_the_seeds_that_all_have():
    records = [r for r in results().records if (r.variant, r.seed) != ("worse", 6)]
    found = results([r for r in records if (r.variant, r.seed) != ("batch", 0)])
    assert found.shared_seeds == [1, 2, 3, 4, 5]
    frame = found.frame()
    scores = frame.pivot(index="seed", columns="variant", values="test_acc").dropna()
    row = found.summary().set_index("variant").loc["batch"]
    assert row["runs"] == 6
    assert row["difference"] == pytest.approx((scores["batch"] - scores["plain"]).mean())
    assert row["verdict"] == "undecided"
    assert row["pairs"] == 6


def test_a_study_with_nothing_in_common():
    found = results([run("plain", 0, 0.0), run("batch", 1, 0.1)])
    summary = found.summary().set_index("variant")
    assert found.shared_seeds == []
    assert summary["runs"].tolist() == [1, 1, 0]
    assert summary["verdict"].tolist() == ["baseline", "undecided", "undecided"]
    assert math.isnan(summary.loc["worse", "estimate"])


def test_a_margin_makes_variants_equivalent_in_the_metric_not_in_steps():
    records = [run(v, s, 0.001 * (s % 2) * (v == "batch")) for v in VARIANTS[:2] for s in SEEDS]
    found = results(records, variants=VARIANTS[:2], margin=0.01).summary()
    assert found["verdict"].tolist() == ["baseline", "equivalent"]
    assert found["steps_verdict"].tolist() == ["baseline", "undecided"]
    assert results(records, variants=VARIANTS[:2]).summary()["verdict"][1] == "undecided"


def test_reached_is_the_share_of_runs_that_have_arrived():
    found = with_losses()
    reached = found.reached()
    frame = found.frame()
    assert tuple(reached) == REACHED
    for (variant, step), row in reached.groupby(["variant", "step"]):
        steps = frame[frame["variant"] == variant]["steps_to_target"]
        assert row["share"].item() == pytest.approx((steps <= step).sum() / 7)
    assert set(reached["variant"]) == set(VARIANTS)


def test_layers_and_histograms_show_one_seed():
    records = [run("plain", 0, 0.0), run("plain", 3, 0.0, (0, 10)), run("plain", 5, 0.0, (0, 30))]
    records += [run("batch", 3, 0.1, (0, 10)), run("batch", 5, 0.1, (0, 30))]
    found = results(records)
    layers, histograms = found.layers(), found.histograms()
    assert tuple(layers) == LAYERS
    assert tuple(histograms) == HISTOGRAMS
    assert layers[["variant", "step", "layer"]].to_numpy().tolist() == [
        [variant, step, name]
        for variant in ("plain", "batch")
        for step in (0, 10)
        for name in ("a", "b")
    ]
    assert (layers["dead"] == 0.25).all()
    assert layers["saturated"].isna().all()
    assert len(histograms) == 8 * 2
    widths = histograms["right"] - histograms["left"]
    assert (widths * histograms["density"]).tolist() == [0.5, 0.5] * 8
    assert len(results().layers()) == len(results().histograms()) == 0
