import numpy as np
import torch

from normwise.data import load
from normwise.data.describe import MOST_CLASSES_LISTED, shape_text


def rows(text: str) -> dict[str, list[str]]:
    return {line.split()[0]: line.split()[1:] for line in text.splitlines()}


def test_ranges_are_those_of_the_tensors():
    data = load("digits", seed=2)
    found = rows(data.describe())
    for name in ("train", "val", "test"):
        x = getattr(data, name).x
        assert found[name] == [str(len(x)), f"{x.min():.4g}", f"{x.max():.4g}"]


def test_the_balance_counts_every_class():
    data = load("digits")
    found = rows(data.describe())
    for label in range(10):
        cells = found[str(label)]
        for i, split in enumerate((data.train, data.val, data.test)):
            count = sum(1 for value in split.y.tolist() if value == label)
            assert cells[3 * i : 3 * i + 2] == [str(count), f"{100 * count / len(split):.1f}"]


def test_many_classes_show_the_smallest_and_the_largest():
    sizes = np.arange(10, 40)
    y = np.repeat(np.arange(30), sizes)
    data = load((np.zeros((len(y), 2), int), y))
    lines = data.describe().splitlines()
    table = lines[lines.index(next(line for line in lines if line.startswith("class"))) + 1 :]
    listed = [line.split()[0] for line in table]
    half = MOST_CLASSES_LISTED // 2
    assert listed == [str(i) for i in [*range(half)]] + ["(10"] + [str(i) for i in range(20, 30)]
    assert table[half] == "(10 classes of sizes between)"


def test_labels_are_shown_as_the_user_wrote_them():
    text = load((np.zeros((20, 2)), ["no", "yes"] * 10)).describe()
    assert "no         6 50.0 %   3" in text or {"no", "yes"} <= set(rows(text))
    assert "2 classes" in text


def test_a_regression_shows_its_targets():
    y = np.linspace(-3, 5, 40)
    data = load((np.zeros((40, 2)), y))
    text = data.describe()
    assert text.startswith("arrays: regression, samples of 2 float64, targets of 1 float64")
    low, high, mean = rows(text)["train"][3:]
    part = data.train.y.numpy()
    assert (low, high) == (f"{part.min():.4g}", f"{part.max():.4g}")
    assert mean == f"{part.mean():.4g}"
    assert "whole" not in text


def test_floats_that_look_like_labels_are_mentioned():
    text = load((np.zeros((40, 2)), np.arange(40) % 4 * 1.0)).describe()
    assert "there are only 4 values, all whole: if they are labels, pass integers" in text
    assert "all whole" not in load((np.zeros((40, 2)), np.arange(40) * 1.0)).describe()


def test_standardisation_is_said_to_be_per_channel_per_feature_or_none():
    images, vectors = np.random.default_rng(0).normal(size=(2, 30, 3, 4)), np.eye(30)
    y = [0, 1] * 15
    assert "per channel: mean" in load((images[0], y)).describe()
    assert "per feature: mean" in load((vectors, y)).describe()
    assert "not standardised" in load((vectors, y), standardize=False).describe()
    assert "not standardised" in load((vectors.astype(int), y)).describe()


def test_shapes():
    assert shape_text(torch.zeros(2, 3, 4)) == "3×4 float32"
    assert shape_text(torch.zeros(2, dtype=torch.int64)) == "1 int64"


def test_several_inputs_and_heads_are_told_one_by_one():
    draw = np.random.default_rng(0)
    x = {
        "image": draw.normal(2, 3, (60, 1, 2, 2)).astype("float32"),
        "code": draw.integers(0, 9, (60, 1)),
    }
    y = {"kind": ["a", "b", "b"] * 20, "size": draw.random(60)}
    data = load((x, y))
    lines = data.describe().splitlines()
    assert lines[0] == (
        "arrays: kind: 2 classes, size: regression of 1 float32, "
        "samples of image 1×2×2 float32, code 1 int64"
    )
    assert lines[1].startswith("x['image'] standardised by the training split, per channel: mean")
    assert lines[2] == "x['code'] not standardised"
    train = next(line.split() for line in lines if line.startswith("train"))
    assert train[1:4:2] == [str(len(data.train)), f"{data.train.x['image'].max():.4g}"]
    assert train[8] == f"{data.train.y['size'].mean():.4g}"
    shares = next(line.split() for line in lines if line.startswith("b "))
    assert shares[1] == str(int((data.train.y["kind"] == 1).sum()))
