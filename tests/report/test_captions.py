from dataclasses import replace

import numpy as np

from normwise.report import captions
from normwise.report.wording import brief


def test_curves_say_who_ends_where(tables):
    last = tables.curves[tables.curves["step"] == tables.budget]
    means = last.groupby("variant")["val_acc"].mean()
    best, worst = means.idxmax(), means.idxmin()
    caption = captions.metric(tables)
    assert f"{best} ({brief(means[best])}) is highest" in caption
    assert f"{worst} ({brief(means[worst])}) lowest" in caption
    assert "✕" not in caption


def test_a_lost_variant_is_explained_and_not_ranked(tables):
    curves = tables.curves.copy()
    curves.loc[(curves["variant"] == "plain") & (curves["step"] > 500), "val_acc"] = np.nan
    caption = captions.metric(replace(tables, curves=curves))
    assert "✕: no run is finite at the end." in caption
    assert "plain (" not in caption


def test_one_seed_has_no_band(tables):
    one = replace(tables, curves=tables.curves[tables.curves["seed"] == 0])
    assert "Each line is one run." in captions.metric(one)
    assert "95" in captions.metric(tables)
    assert "95" not in captions.metric(one)


def test_verdicts_are_listed(tables):
    assert "Better: batch, layer and batch+dropout=0.2; undecided: dropout=0.2." in (
        captions.difference(tables)
    )


def test_arrivals_give_share_and_median(tables):
    caption = captions.reached(tables)
    assert "plain 40\u202f%;" in caption
    assert "batch 100\u202f%, half of them by step 275;" in caption


def test_a_layer_says_what_changes_most_and_where_units_die(tables):
    caption = captions.layer(tables, "3")
    assert "from step 0 to step 1\u202f140" in caption
    assert "σ changes most under plain: 0.600 → 3.68." in caption or (
        "σ changes most under dropout=0.2: 0.600 → 3.68." in caption
    )
    assert "Most dead: 32\u202f% (dropout=0.2, step 1\u202f140)." in caption
    assert "saturated" not in caption
