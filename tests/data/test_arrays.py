from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from normwise.data.arrays import Table, as_array, tabulate
from normwise.data.raw import Raw
from normwise.errors import Problems, UsageError

FLOATS = np.arange(8.0).reshape(4, 2)
LABELS = [0, 1, 0, 1]


def table(x: Any = FLOATS, y: Any = LABELS, test: Any = None) -> Table:
    problems = Problems()
    found = tabulate(Raw("arrays", (x, y), test), problems)
    problems.raise_if_any()
    assert found is not None
    return found


def problem_of(x: Any = FLOATS, y: Any = LABELS, test: Any = None) -> str:
    problems = Problems()
    tabulate(Raw("arrays", (x, y), test), problems)
    assert len(problems.found) == 1, problems.found
    return problems.found[0]


@pytest.mark.parametrize(
    ("x", "dtype"),
    [
        (FLOATS, np.float64),
        (FLOATS.astype(np.float32), np.float32),
        (FLOATS.astype(np.float16), np.float32),
        (FLOATS.astype(np.longdouble), np.float64),
        (FLOATS.astype(">f4"), np.float32),
        (FLOATS.tolist(), np.float32),
        ([[0, 1.5]] * 4, np.float32),
        ([np.ones(2)] * 4, np.float64),
        ([torch.ones(2)] * 4, np.float32),
        (torch.from_numpy(FLOATS), np.float64),
        (torch.from_numpy(FLOATS).bfloat16(), np.float32),
        (torch.from_numpy(FLOATS).half().requires_grad_(), np.float32),
        (FLOATS.astype(np.int32), np.int64),
        (FLOATS.astype(np.uint8), np.int64),
        (FLOATS.astype(np.uint8).reshape(4, 2, 1), np.uint8),
        (FLOATS > 2, np.float32),
        (FLOATS.astype(int).tolist(), np.int64),
        (pd.DataFrame(FLOATS), np.float64),
        (pd.DataFrame({"a": [1, 2, 3, 4], "b": [0.5] * 4}), np.float64),
        (pd.DataFrame({"a": [1, 2, 3, 4], "b": [True, False] * 2}), np.int64),
        (pd.DataFrame({"a": pd.array([1, 2, 3, 4], dtype="Int64"), "b": 0.5}), np.float64),
    ],
)
def test_types_of_samples(x, dtype):
    [out] = table(x).samples
    assert out.dtype == dtype
    assert out.dtype.isnative
    plain = x.detach().double().numpy() if isinstance(x, torch.Tensor) else x
    if isinstance(plain, list) and hasattr(plain[0], "numpy"):
        plain = [row.numpy() for row in plain]
    assert np.array_equal(out, np.asarray(plain).astype(dtype))


@pytest.mark.parametrize(
    ("y", "labels", "expected"),
    [
        ([0, 1, 0, 1], (0, 1), [0, 1, 0, 1]),
        ([3, -1, 7, 3], (-1, 3, 7), [1, 0, 2, 1]),
        ([True, False, True, False], (False, True), [1, 0, 1, 0]),
        (["b", "a", "c", "a"], ("a", "b", "c"), [1, 0, 2, 0]),
        (np.array(["b", "a", "b", "a"], dtype=object), ("a", "b"), [1, 0, 1, 0]),
        (np.array([[5], [6], [5], [6]], dtype=np.uint8), (5, 6), [0, 1, 0, 1]),
        (torch.tensor([2, 0, 1, 0]), (0, 1, 2), [2, 0, 1, 0]),
        (pd.Series(["b", "a", "b", "a"]), ("a", "b"), [1, 0, 1, 0]),
        (pd.Series(["b", "a", "b", "a"], dtype="category"), ("a", "b"), [1, 0, 1, 0]),
        (pd.Series([4, 2, 4, 2], dtype="Int64"), (2, 4), [1, 0, 1, 0]),
        (pd.DataFrame({"y": [4, 2, 4, 2]}), (2, 4), [1, 0, 1, 0]),
        (np.array([2**63, 5, 5, 2**63], dtype=np.uint64), (5, 2**63), [1, 0, 0, 1]),
    ],
)
def test_labels_become_numbers_in_sorted_order(y, labels, expected):
    [out] = table(y=y).targets
    assert out.labels == labels
    assert out.y.dtype == np.int64
    assert out.y.tolist() == expected


@pytest.mark.parametrize(
    ("x", "y", "dtype"),
    [
        (FLOATS, np.zeros(4, np.float32), np.float64),
        (FLOATS.astype(np.float32), np.zeros(4), np.float32),
        (FLOATS.astype(int), np.zeros((4, 1)), np.float32),
        (FLOATS, [1.0, 2.0, 3.0, 4.0], np.float64),
        (FLOATS, pd.DataFrame({"a": [0.5] * 4, "b": [1.0] * 4}), np.float64),
    ],
)
def test_float_targets_keep_their_shape_and_follow_the_samples_type(x, y, dtype):
    [out] = table(x, y).targets
    assert out.labels == ()
    assert out.y.dtype == dtype
    assert np.array_equal(out.y, np.asarray(y))


def test_an_own_test_split_is_mapped_by_the_training_labels():
    [out] = table(y=["c", "a", "b", "a"], test=(FLOATS[:2], ["c", "b"])).targets
    assert out.test is not None
    assert out.test.tolist() == [2, 1]


def test_an_own_test_split_gets_the_training_type():
    out = table(FLOATS.astype(np.float32), test=(FLOATS, LABELS))
    assert out.test_samples[0].dtype == np.float32
    images = np.full((4, 2, 2), 200, np.uint8)
    out = table(images, test=(images.astype(np.int64) * 2, LABELS))
    assert out.samples[0].dtype == out.test_samples[0].dtype == np.int64
    assert out.test_samples[0].max() == 400


def test_missing_values_are_counted_and_placed():
    x = FLOATS.copy()
    x[1, 1] = np.nan
    x[3] = [np.inf, np.nan]
    message = problem_of(x)
    assert message.startswith(
        "x holds 2 NaN and 1 infinite values in 2 of 4 samples, the first at index (1, 1)"
    )
    assert "the first at index (2,)" in problem_of(y=[0.0, 1.0, float("inf"), 2.0])


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([], "x is empty: its shape is (0,)"),
        (np.zeros((0, 3)), "x is empty: its shape is (0, 3)"),
        (np.zeros((4, 0)), "x is empty: its shape is (4, 0)"),
        (5.0, "x has shape ()"),
        (np.zeros(4), "x has shape (4,): the first dimension counts the samples"),
        (np.zeros((4, 2), complex), "x holds complex128"),
        ([["a", "b"]] * 4, "x holds strings, which a network cannot take"),
        ([[1.0], [1.0, 2.0], [1.0], [1.0]], "x (list) cannot be read as one array"),
        (np.array([[1.0, None]] * 4), "x holds objects that are neither all numbers nor all"),
        (np.array([[1.0, 2.0], [3.0, "?"]], object), "(float, str), such as '?' at index (1, 1):"),
        (
            pd.DataFrame({"a": [1.0, 2], "hue": ["x", "y"]}),
            "(float, str), such as 'x' in column 'h",
        ),
        (np.array([[1.0, "a"]] * 4, dtype=object), "(float, str)"),
        ([[2**70]] * 4, "x (list) cannot be read as one array"),
        (np.zeros((4, 1), "datetime64[s]"), "x holds datetime64[s]"),
        (torch.zeros(4, 2).to_sparse(), "x (Tensor) cannot be read as one array"),
        (object(), "x holds objects that are neither"),
    ],
)
def test_samples_that_are_none(x, message):
    assert message in problem_of(x)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([], "y is empty"),
        (3, "y is a single value"),
        ([1, 1, 1, 1], "y holds one class only (1)"),
        (["a"] * 4, "y holds one class only ('a')"),
        (np.eye(4, dtype=int), "y holds integers of shape (4, 4): give one label per sample"),
        (np.zeros((4, 2), bool), "y holds booleans of shape (4, 2)"),
        (np.zeros(4, complex), "y holds complex128: give integers, booleans or strings"),
        (np.array([b"a", b"b", b"a", b"b"]), "y holds |S1"),
        (pd.Series(["a", None, "b", "a"], dtype=object), "y holds objects that are neither"),
    ],
)
def test_targets_that_are_none(y, message):
    assert message in problem_of(y=y)


def test_unlike_lengths_name_both():
    assert problem_of(y=[0, 1, 0]).startswith("x has 4 samples but y has 3")
    message = problem_of(test=(FLOATS[:3], LABELS))
    assert message.startswith("x_test has 3 samples but y_test has 4")


@pytest.mark.parametrize(
    ("y", "test", "message"),
    [
        (LABELS, (np.zeros((1, 3)), [0]), "samples of shape (2,) but x_test of shape (3,)"),
        (LABELS, (np.zeros((1, 2), int), [0]), "x_train holds floats but x_test integers"),
        (LABELS, (FLOATS[:1], ["a"]), "y_train holds integers but y_test strings"),
        (LABELS, (FLOATS[:1], [0.0]), "y_train holds integers but y_test floats"),
        (FLOATS, (FLOATS[:1], [0.5]), "y_train has samples of shape (2,) but y_test of shape ()"),
        (LABELS, (FLOATS[:3], [0, 5, 7]), "y_test holds 2 labels that y_train does not (5, 7)"),
        (LABELS, (FLOATS, [3, 4, 5, 6]), "does not (3, 4, 5, 6)"),
    ],
)
def test_a_test_split_unlike_the_training_split(y, test, message):
    assert message in problem_of(y=y, test=test)


def test_all_problems_at_once_with_the_sources_name():
    problems = Problems()
    train, test = ([[float("nan"), 1.0]] * 3, [7.0, float("inf")]), ([["a"]], [])
    assert tabulate(Raw("mine", train, test), problems) is None
    starts = [
        "mine: x_test holds strings",
        "mine: y_test is empty",
        "mine: x_train holds 3 NaN",
        "mine: y_train holds 0 NaN and 1 infinite",
        "mine: x_train has 3 samples but y_train has 2",
    ]
    assert len(problems.found) == len(starts)
    for problem, start in zip(problems.found, starts, strict=True):
        assert problem.startswith(start)


def test_missing_values_hide_no_other_problem():
    problems = Problems()
    found = tabulate(Raw("arrays", ([[float("nan")]] * 4, [1, 1, 1, 1]), None), problems)
    assert found is not None
    assert [problem[:20] for problem in problems.found] == [
        "x holds 4 NaN and 0 ",
        "y holds one class on",
    ]


def test_an_array_that_raises_is_reported():
    class Broken:
        def __array__(self, dtype=None, copy=None):
            raise RuntimeError("the disk is gone")

    with pytest.raises(UsageError, match=r"x \(Broken\) cannot be read.*the disk is gone"):
        as_array(Broken(), "x")


IMAGES = np.ones((4, 1, 3, 3), np.float32)


def test_several_inputs_and_heads_keep_their_names_and_types():
    out = table({"image": IMAGES, "codes": FLOATS.astype(int)}, {"kind": LABELS, "size": [0.5] * 4})
    assert [array.dtype for array in out.samples] == [np.float32, np.int64]
    assert out.inputs.join(["a", "b"]) == {"image": "a", "codes": "b"}
    kind, size = out.targets
    assert (kind.labels, size.labels) == ((0, 1), ())
    assert size.y.dtype == np.float32
    assert out.kinds[0].tolist() == LABELS


def test_a_tuple_of_arrays_is_several_inputs_and_a_list_is_one():
    assert len(table((FLOATS, IMAGES)).samples) == 2
    assert len(table(list(FLOATS)).samples) == 1
    assert len(table(tuple(FLOATS.tolist())).samples) == 1


@pytest.mark.parametrize(
    ("x", "y", "test", "message"),
    [
        ((FLOATS, IMAGES[:3]), LABELS, None, "x[0] has 4 samples but x[1] has 3"),
        ({"a": FLOATS, "b": [["u"]] * 4}, LABELS, None, "x['b'] holds strings"),
        (FLOATS, {"k": LABELS, "v": [1.0]}, None, "x has 4 samples but y['v'] has 1"),
        (FLOATS, {"k": [1, 1, 1, 1]}, None, "y['k'] holds one class only"),
        (FLOATS, (np.ones(4), np.ones(4)), None, "y is a tuple of 2 arrays: name the heads"),
        ({}, LABELS, None, "x is empty: it names no part"),
        (
            {"a": FLOATS},
            LABELS,
            ({"b": FLOATS}, LABELS),
            "x_train consists of x_train['a'] but x_test of x_test['b']",
        ),
        (
            FLOATS,
            {"k": LABELS},
            (FLOATS, {"k": [0, 1, 5, 1]}),
            "y_test['k'] holds 1 labels that y_train['k'] does not (5)",
        ),
    ],
)
def test_parts_that_do_not_fit(x, y, test, message):
    assert message in problem_of(x, y, test)
