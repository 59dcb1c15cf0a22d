from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import Dataset

from normwise.data import load
from normwise.errors import UsageError

RNG = np.random.default_rng(0)
X = RNG.normal(3, 2, (60, 4))
Y = RNG.integers(0, 3, 60)
VALUES = RNG.normal(size=(60, 1))
KINDS = RNG.integers(0, 5, 60)


def row_numbers(**options) -> list[list[int]]:
    """Return the rows of X in each split, found by an integer that marks them."""
    data = load((np.arange(60).reshape(60, 1), Y), **options)
    return [split.x[:, 0].tolist() for split in (data.train, data.val, data.test)]


def test_x_and_y_stay_together_and_nothing_is_lost():
    data = load((X, Y), standardize=False)
    pairs = {(*row, label) for row, label in zip(X.tolist(), Y.tolist(), strict=True)}
    found = {
        (*row, label)
        for split in (data.train, data.val, data.test)
        for row, label in zip(split.x.tolist(), split.y.tolist(), strict=True)
    }
    assert found == pairs


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), spread=st.sampled_from([1e-3, 1.0, 1e5]))
def test_all_splits_are_standardised_by_the_training_split(seed, spread):
    x = np.random.default_rng(seed).normal(5, spread, (60, 4))
    data = load((x, Y), seed=seed)
    train, val, test = (x[rows] for rows in row_numbers(seed=seed))
    mean, std = train.mean(0), train.std(0)
    for split, original in ((data.train, train), (data.val, val), (data.test, test)):
        np.testing.assert_allclose(split.x.numpy(), (original - mean) / std, atol=1e-9)
    assert data.mean is not None
    assert data.std is not None
    np.testing.assert_allclose(data.mean.numpy(), mean)
    np.testing.assert_allclose(data.std.numpy(), std)


def test_images_are_standardised_per_channel():
    images = RNG.normal([[[[1.0]], [[100.0]]]], [[[[1.0]], [[9.0]]]], (60, 2, 5, 5))
    data = load((images.astype(np.float32), Y))
    assert data.train.x.dtype == torch.float32
    assert data.mean is not None
    assert data.mean.shape == (2, 1, 1)
    per_channel = data.train.x.double().transpose(0, 1).flatten(1)
    np.testing.assert_allclose(per_channel.mean(1).numpy(), 0, atol=1e-6)
    np.testing.assert_allclose(per_channel.std(1, correction=0).numpy(), 1, atol=1e-6)


def test_targets_of_a_regression_are_left_as_they_are():
    data = load((X, VALUES))
    rows = row_numbers_of_regression()
    assert data.task == "regression"
    assert data.classes is None
    assert data.labels == ()
    for split, numbers in zip((data.train, data.val, data.test), rows, strict=True):
        assert np.array_equal(split.y.numpy(), VALUES[numbers])


def row_numbers_of_regression() -> list[list[int]]:
    data = load((np.arange(60).reshape(60, 1), VALUES))
    return [split.x[:, 0].tolist() for split in (data.train, data.val, data.test)]


def test_an_own_test_split_is_kept_whole_and_in_order():
    data = load((X, Y, X[:7] + 1, Y[:7]), test=0.5)
    assert data.mean is not None
    assert data.std is not None
    assert (len(data.train), len(data.val), len(data.test)) == (48, 12, 7)
    np.testing.assert_allclose((data.test.x * data.std + data.mean).numpy(), X[:7] + 1)
    assert data.test.y.tolist() == Y[:7].tolist()


def test_integers_are_left_as_they_are():
    tokens = RNG.integers(0, 50, (60, 9)).astype(np.int32)
    data = load((tokens, Y))
    assert data.train.x.dtype == torch.int64
    assert data.mean is data.std is None
    assert sorted(map(tuple, data.train.x.tolist())) == sorted(
        map(tuple, tokens[row_numbers()[0]].tolist())
    )
    images = RNG.integers(0, 256, (60, 3, 3)).astype(np.uint8)
    assert load((images, Y)).train.x.dtype == torch.uint8


def test_the_seed_and_only_the_seed_moves_the_splits():
    assert row_numbers(seed=1) == row_numbers(seed=1)
    assert row_numbers(seed=1) != row_numbers(seed=2)
    np.random.seed(5)
    torch.manual_seed(5)
    assert row_numbers(seed=1) == row_numbers(seed=1)
    before = torch.get_rng_state()
    load((X, Y))
    assert torch.equal(before, torch.get_rng_state())


def test_sizes_reach_the_splits():
    assert [len(rows) for rows in row_numbers(val=0.25, test=20)] == [30, 10, 20]


def test_the_users_arrays_are_neither_changed_nor_shared():
    x, test_x = X.copy(), X[:5].copy()
    for standardize in (True, False):
        data = load((x, Y, test_x, Y[:5]), standardize=standardize)
        for split in (data.train, data.val, data.test):
            split.x.zero_()
            split.y.zero_()
    assert np.array_equal(x, X)
    assert np.array_equal(test_x, X[:5])


def test_read_only_arrays_are_taken_without_a_warning(recwarn):
    x = X.copy()
    x.setflags(write=False)
    load((x, Y, x[:5], Y[:5]), standardize=False)
    assert not recwarn.list


def test_digits():
    data = load("digits")
    assert (data.name, data.task, data.classes) == ("digits", "classes", 10)
    assert data.train.x.shape == (1150, 1, 8, 8)
    assert data.train.x.dtype == torch.float32
    assert (len(data.val), len(data.test)) == (288, 359)
    assert data.train.x.double().mean().item() == pytest.approx(0, abs=1e-6)
    assert data.train.x.double().std(correction=0).item() == pytest.approx(1, abs=1e-6)


def test_data_is_returned_as_it_is():
    data = load("digits")
    assert load(data) is data
    assert load(data, seed=3, val=0.5) is data


def test_settings_and_source_are_reported_together():
    with pytest.raises(UsageError) as caught:
        load("digitz", val=1.5, test=1.0, seed=-1, device="gpu")
    starts = ("val=1.5", "test=1.0", "seed=-1", "device='gpu'", "no data is called 'digitz'")
    problems = caught.value.problems
    assert len(problems) == len(starts)
    assert all(problem.startswith(start) for problem, start in zip(problems, starts, strict=True))


def test_a_bad_setting_alone_is_reported():
    with pytest.raises(UsageError, match=r"^seed=-1: give a whole number"):
        load((X, Y), seed=-1)


def test_problems_of_values_and_of_sizes_are_reported_together():
    x = X.copy()
    x[0, 0] = np.nan
    with pytest.raises(UsageError) as caught:
        load((x, Y), val=5000)
    assert [problem[:10] for problem in caught.value.problems] == ["x holds 1 ", "60 samples"]


def test_too_few_samples_for_the_sizes_asked_for():
    with pytest.raises(UsageError, match="60 samples are too few: 12 for testing and 5000 for val"):
        load((X, Y), val=5000)


class Mixed(Dataset):
    """Samples of a number and a category."""

    def __len__(self) -> int:
        return len(Y)

    def __getitem__(self, at: int) -> tuple[dict[str, Any], int]:
        return {"value": VALUES[at], "kind": int(KINDS[at])}, int(Y[at])


@pytest.mark.parametrize(
    ("source", "memory"),
    [(({"value": VALUES, "kind": KINDS}, Y), None), (Mixed(), None), (Mixed(), "1 kB")],
)
def test_a_category_beside_other_inputs_needs_no_dimension_of_its_own(source, memory):
    data = load(source, standardize=False, memory=memory)
    x, y = data.train[:20].x, data.train[:20].y
    assert isinstance(x, dict)
    assert (x["kind"].shape, x["kind"].dtype) == ((20,), torch.int64)
    pairs = dict(zip(VALUES[:, 0].tolist(), zip(KINDS, Y, strict=True), strict=True))
    found = zip(x["value"][:, 0].tolist(), x["kind"].tolist(), y.tolist(), strict=True)
    assert all(pairs[value] == (kind, label) for value, kind, label in found)


def test_one_number_per_sample_needs_a_dimension_where_it_is_no_category():
    with pytest.raises(UsageError, match=r"x\['value'\] has shape \(60,\): the first dimension"):
        load(({"value": VALUES[:, 0], "kind": KINDS}, Y))
    with pytest.raises(UsageError, match=r"x has shape \(60,\): the first dimension"):
        load((KINDS, Y))
