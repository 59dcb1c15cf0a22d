from dataclasses import replace

import pytest

from normwise.errors import UsageError
from normwise.report import save_figures, study_figures
from normwise.report.figures import plans

ALL = ["metric", "train-loss", "difference", "reached", "layer-1-1", "layer-2-3"]


def test_a_figure_for_everything_measured(tables):
    assert list(study_figures(tables)) == ALL


def test_no_figure_for_what_was_not(edge):
    names = [plan.name for plan in plans(edge)]
    assert names[:2] == ["metric", "train-loss"]
    assert ("difference" in names) == edge.summary["difference"].notna().any()
    assert ("reached" in names) == (edge.target is not None and len(edge.reached) > 0)
    assert sum(name.startswith("layer-") for name in names) == len(edge.hidden_layers)


def test_layer_names_make_safe_file_names(tables):
    renamed = {"layer": {"1": "enc/../1", "3": "über"}}
    odd = replace(
        tables,
        layers=tables.layers.replace(renamed),
        histograms=tables.histograms.replace(renamed),
    )
    assert [plan.name for plan in plans(odd)][-2:] == ["layer-1-enc-..-1", "layer-2--ber"]


def test_files_are_whole_and_the_same_every_time(shallow, tmp_path):
    first = save_figures(shallow, tmp_path / "new" / "first")
    second = save_figures(shallow, tmp_path / "second")
    assert [path.name for path in first] == [
        f"{name}.{kind}" for name in ALL[:4] for kind in ("svg", "png")
    ]
    for one, other in zip(first, second, strict=True):
        content = one.read_bytes()
        assert content == other.read_bytes()
        assert content.startswith(b"\x89PNG" if one.suffix == ".png" else b"<svg ")


def test_a_folder_that_cannot_be_is_refused(shallow, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write"):
        save_figures(shallow, tmp_path / "file" / "figures")


def test_drawing_leaves_matplotlib_as_it_was(tables):
    import matplotlib

    before = dict(matplotlib.rcParams)
    study_figures(tables)
    assert dict(matplotlib.rcParams) == before
