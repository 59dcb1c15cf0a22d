from dataclasses import replace

import pandas as pd
import pytest

from normwise.errors import UsageError


def test_variants_and_layers_keep_the_order_of_the_tables(tables):
    assert tables.variants == ["plain", "batch", "layer", "dropout=0.2", "batch+dropout=0.2"]
    assert tables.hidden_layers == ["1", "3"]


def test_all_missing_columns_are_reported_at_once(tables):
    with pytest.raises(UsageError) as caught:
        replace(
            tables,
            summary=tables.summary.drop(columns=["p", "seconds"]),
            curves=tables.curves.drop(columns="val_acc"),
            layers=tables.layers.drop(columns="dead"),
        )
    summary, curves, layers = caught.value.problems
    assert summary.startswith("summary lacks the columns p, seconds; it has variant, runs")
    assert curves.startswith("curves lacks the columns val_acc;")
    assert layers.startswith("layers lacks the columns dead;")


def test_the_metric_decides_which_curve_is_needed(tables):
    with pytest.raises(UsageError, match="curves lacks the columns val_r2"):
        replace(tables, metric_column="r2")


def test_unknown_variants_are_named(tables):
    with pytest.raises(UsageError) as caught:
        replace(
            tables,
            baseline="plian",
            curves=tables.curves.replace({"variant": {"batch": "bacth"}}),
        )
    baseline, curves = caught.value.problems
    assert "baseline='plian' is no row of summary (did you mean 'plain'?)" in baseline
    assert curves == "curves holds 'bacth', which is no row of summary"


def test_a_variant_listed_twice_is_refused(tables):
    twice = pd.concat([tables.summary, tables.summary.iloc[[1]]])
    with pytest.raises(UsageError, match="summary lists batch more than once"):
        replace(tables, summary=twice)


def test_empty_tables_need_no_columns(tables):
    nothing = pd.DataFrame()
    bare = replace(tables, target=None, reached=nothing, layers=nothing, histograms=nothing)
    assert bare.hidden_layers == []
