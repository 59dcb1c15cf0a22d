import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from normwise.data.splits import check_seed, check_size, divide
from normwise.errors import UsageError

NONE = ("",)


def regression(total: int) -> np.ndarray:
    return np.zeros(total, dtype=np.int64)


def sizes(rows) -> tuple[int, int, int]:
    return len(rows.train), len(rows.val), len(rows.test)


@given(
    counts=st.lists(st.integers(8, 60), min_size=2, max_size=5),
    val=st.sampled_from([None, 0.1, 0.5, 20]),
    test=st.sampled_from([None, 0.2, 0.4, 10]),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_sample_is_in_one_split_and_shares_are_equal(counts, val, test, seed):
    kinds = np.repeat(np.arange(len(counts)), counts)
    labels = tuple(range(len(counts)))
    try:
        rows = divide(kinds, labels, val, test, seed)
    except UsageError as error:
        assert "too few" in str(error) or "smaller than the number" in str(error)  # noqa: PT017
        return
    assert sorted(np.concatenate([rows.train, rows.val, rows.test])) == list(range(len(kinds)))
    for part, whole in (
        (rows.test, np.arange(len(kinds))),
        (rows.val, np.concatenate([rows.train, rows.val])),
    ):
        fair = np.bincount(kinds[whole], minlength=len(counts)) * len(part) / len(whole)
        # One for rounding, one since scikit-learn rounds what is left in a second step.
        assert np.abs(np.bincount(kinds[part], minlength=len(counts)) - fair).max() <= 2
    assert set(kinds[rows.train]) == set(labels)


@pytest.mark.parametrize(
    ("total", "val", "test", "expected"),
    [
        (100, None, 0.2, (64, 16, 20)),
        (100, 0.5, 0.2, (40, 40, 20)),
        (100, 7, 3, (90, 7, 3)),
        (100, None, None, (80, 20, 0)),
        (60_000, None, None, (55_000, 5_000, 0)),
        (60_000, 0.2, None, (48_000, 12_000, 0)),
        (4, None, 0.2, (2, 1, 1)),
        (100, np.int64(10), np.float32(0.5), (40, 10, 50)),
    ],
)
def test_sizes(total, val, test, expected):
    assert sizes(divide(regression(total), NONE, val, test, 0)) == expected


def test_splits_depend_on_the_seed_alone():
    first, again, other = (divide(regression(50), NONE, None, 0.2, seed) for seed in (3, 3, 4))
    for name in ("train", "val", "test"):
        assert np.array_equal(getattr(first, name), getattr(again, name))
        assert not np.array_equal(getattr(first, name), getattr(other, name))


def test_training_rows_are_shuffled():
    rows = divide(np.repeat([0, 1], 50), (0, 1), None, 0.2, 0)
    assert not np.array_equal(rows.train, np.sort(rows.train))


@pytest.mark.parametrize(
    ("counts", "val", "test", "message"),
    [
        ([50, 2], None, 0.2, "1 of 2 classes have fewer than 3 samples.*label 'b' has 2"),
        ([50, 1], None, None, "fewer than 2 samples, too few for 2 splits"),
        ([20, 20, 20, 20], None, 3, "test split of 3 samples is smaller.*test=4 or more"),
        ([20, 20, 20, 20], 2, None, "val split of 2 samples is smaller.*val=4 or more"),
        ([40, 3], None, 0.7, "too few samples of label 'b' are left"),
        ([50, 2], 0.8, None, "too few samples of label 'b' are left"),
        ([20, 20], 100, None, "40 samples are too few: 0 for testing and 100 for validation"),
    ],
)
def test_too_few_for_classes(counts, val, test, message):
    kinds = np.repeat(np.arange(len(counts)), counts)
    with pytest.raises(UsageError, match=message):
        divide(kinds, ("a", "b", "c", "d")[: len(counts)], val, test, 0)


@pytest.mark.parametrize(("total", "left"), [(1, 0), (2, 0), (3, 1)])
def test_too_few_samples(total, left):
    with pytest.raises(UsageError, match=f"leave {left} to train on, where at least 2 are needed"):
        divide(regression(total), NONE, None, 0.2, 0)


def test_too_few_in_all_and_of_a_class_are_reported_together():
    with pytest.raises(UsageError) as caught:
        divide(np.array([0, 0, 0, 1]), ("a", "b"), None, 0.2, 0)
    assert len(caught.value.problems) == 3  # test and val are below two classes, b has one


@pytest.mark.parametrize("size", [-1, 0.0, 1.0, 1.5, -0.2, True, "0.2", float("nan"), None])
def test_sizes_out_of_range(size):
    with pytest.raises(UsageError, match=r"val=.*fraction between 0 and 1, or a whole number"):
        check_size("val", size)


@pytest.mark.parametrize("seed", [-1, 2**32, 0.5, "1", True, None])
def test_seeds_out_of_range(seed):
    with pytest.raises(UsageError, match=r"seed=.*whole number from 0 to 4294967295"):
        check_seed(seed)


def test_a_split_of_no_samples_leaves_them_to_the_others():
    kinds = np.array([0, 1] * 10)
    rows = divide(kinds, ("a", "b"), 0, 0, 0)
    assert (len(rows.val), len(rows.test)) == (0, 0)
    assert sorted(rows.train) == list(range(20))
