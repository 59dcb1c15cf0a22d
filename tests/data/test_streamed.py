"""Streamed samples are the same, bit for bit, wherever they come from and however they are read."""

import os
import random
import signal
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from normwise.data import Data, Split, Streamed, load, reading, whiten
from normwise.data import streamed as module
from normwise.errors import UsageError
from normwise.samples import tensors


class Made(Dataset):
    """Samples that are made when they are asked for."""

    def __init__(self, count: int = 90, change: Any = None, several: bool = False) -> None:
        draw = np.random.default_rng(2)
        self.x = draw.normal(3, 5, (count, 2, 4, 3)).astype(np.float32)
        self.y = np.arange(count) % 3
        self.change, self.several = change, several

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> Any:
        x, y = torch.from_numpy(self.x[index]), ["low", "mid", "top"][self.y[index]]
        if self.change is not None:
            return self.change(index, x, y)
        if self.several:
            return {"image": x, "count": torch.tensor([index])}, {"kind": y, "size": float(index)}
        return x, y


@pytest.fixture(params=[96, 700, 1 << 20], autouse=True)
def piece(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of one sample, of a few, and of all."""
    monkeypatch.setattr(module, "PIECE", request.param)
    monkeypatch.setattr(reading, "PIECE", request.param)


def everything(split: Split) -> list[torch.Tensor]:
    parts = list(split.parts(7))
    whole = [torch.cat(each) for each in zip(*(tensors(part.x) for part in parts), strict=True)]
    return [*whole, *tensors(split.y)]


def assert_same(ours: Data, theirs: Data) -> None:
    for name in ("train", "val", "test"):
        split, other = getattr(ours, name), getattr(theirs, name)
        assert isinstance(split, Streamed)
        assert not isinstance(other, Streamed)
        assert len(split) == len(other)
        for a, b in zip(everything(split), [*tensors(other.x), *tensors(other.y)], strict=True):
            assert a.dtype == b.dtype
            assert torch.equal(a, b)
    assert ours.labels == theirs.labels
    for mine, yours in ((ours.mean, theirs.mean), (ours.std, theirs.std)):
        for a, b in zip(tensors(mine), tensors(yours), strict=True):
            assert a is b is None or torch.equal(a, b)


SIZE = 2 * 4 * 3 * 4  # bytes of a sample


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize(
    ("memory", "readers"), [(1, 0), (1000, 0), (1000, 2), (4000, 0), (5000, 2)]
)
def test_a_dataset_that_is_read_as_it_is_needed(several, memory, readers):
    data = load(Made(several=several), memory=memory, readers=readers)
    assert_same(data, load(Made(several=several)))


@pytest.mark.parametrize(
    ("memory", "kept"), [(1, (0, 0)), (5 * SIZE + 1, (5, 0)), (4000, (14, 27))]
)
def test_what_fits_is_kept_and_read_no_more(memory, kept):
    dataset, read = Made(), []
    data = load(dataset, memory=memory, readers=0)
    dataset.change = lambda index, x, y: (read.append(index), (x, y))[1]
    for _ in range(2):
        assert_same(data, load(Made()))
    for split, count in zip((data.val, data.train, data.test), (*kept, 0), strict=True):
        assert isinstance(split, Streamed)
        assert sum(part.nbytes for part in split.kept) == count * SIZE
        assert {read.count(row) for row in split.rows[:count].tolist()} <= {0}
        assert {read.count(row) for row in split.rows[count:].tolist()} <= {2}
    assert sum(kept) * SIZE <= memory


def test_what_is_kept_as_a_whole_is_not_gathered_again():
    val = load(Made(), memory=14 * SIZE, readers=0).val
    assert isinstance(val, Streamed)
    parts = list(val.parts(5))
    assert [part.single.data_ptr() for part in parts] == [
        val.kept[0].data_ptr() + start * SIZE for start in (0, 5, 10)
    ]
    assert torch.equal(torch.cat([part.single for part in parts]), load(Made()).val.single)


def test_what_is_kept_takes_no_more_memory_in_float64():
    split = load(Made(), memory=4000, readers=0).train
    whole = load(Made()).train
    assert isinstance(split, Streamed)
    double = split.cast(torch.float64)
    assert len(double.kept[0]) == len(split.kept[0]) // 2 == 13
    assert torch.equal(everything(double)[0], whole.single.double())


class OwnGenerator(Made):
    """Draws from a stream that nobody else knows of."""

    def __getitem__(self, index: int) -> Any:
        x, y = super().__getitem__(index)
        return x + self.draw.normal(), y

    draw = np.random.default_rng(0)


def noisy(index: int, x: torch.Tensor, y: str) -> tuple[torch.Tensor, str]:
    return x + torch.rand(()) + np.random.rand() + random.random(), y


def sometimes(draw: Any) -> Any:
    return lambda i, x, y: (x + (draw() if i == 40 else 0), y)


@pytest.mark.parametrize(
    "dataset",
    [
        OwnGenerator(),
        Made(change=sometimes(lambda: torch.rand(()))),
        Made(change=sometimes(np.random.rand)),
        Made(change=sometimes(random.random)),
    ],
)
@pytest.mark.parametrize("readers", [0, 1])
def test_random_samples_are_not_kept(dataset, readers):
    data = load(dataset, memory=5000, readers=readers)
    for split in (data.train, data.val):
        assert isinstance(split, Streamed)
        assert split.kept == []


@pytest.mark.parametrize("several", [False, True])
def test_tensors_that_stay_on_the_host(several):
    whole = load(Made(several=several))
    data = whole.to("cpu", 1000)
    assert_same(data, whole)
    assert data.fingerprint() == whole.fingerprint()
    assert data.to("cpu").train.device == torch.device("cpu")


def test_samples_of_a_split():
    split = load(Made(), memory=1000, readers=0).train
    whole = load(Made()).train
    rows = torch.tensor([5, 1, 1, 40])
    for some in (slice(3, 9), rows, slice(0, 0)):
        assert torch.equal(split[some].single, whole[some].single)
        assert torch.equal(tensors(split[some].y)[0], tensors(whole[some].y)[0])
    assert repr(split) == f"Streamed({len(whole)} samples of 2×4×3 float32)"
    assert split.cast(torch.float64)[rows].single.dtype == torch.float64
    assert split.sample_bytes == whole.sample_bytes


def test_the_order_of_batches_in_larger_and_smaller_pieces():
    split = load(Made(), memory=1000, readers=2).train
    draw = torch.Generator().manual_seed(1)
    batches = [
        torch.randint(len(split), (size,), generator=draw) for size in (1, 5, 30, 2, 2, 2, 90, 4)
    ]
    whole = load(Made()).train
    for batch, part in zip(batches, split.gather(batches), strict=True):
        assert torch.equal(part.single, whole.single[batch])
        assert torch.equal(tensors(part.y)[0], tensors(whole.y)[0][batch])


def test_it_is_described_and_marked_without_being_read():
    dataset = Made()
    data = load(dataset, memory=1000, readers=0)
    mark = data.fingerprint()
    assert load(Made(), memory=1000, readers=2).fingerprint() == mark
    assert load(Made(), memory=1000, seed=1).fingerprint() != mark
    assert load(Made(), memory=1000, standardize=False).fingerprint() != mark
    changed = Made()
    changed.x[17, 1, 2, 1] += 1e-3
    assert load(changed, memory=1000).fingerprint() != mark
    dataset.change = lambda *_: pytest.fail("it was read")
    assert data.fingerprint() == mark
    lines = data.describe().splitlines()
    assert lines[0] == "Made: 3 classes, samples of 2×4×3 float32"
    assert lines[3].split() == ["train", str(len(data.train)), "–", "–"]


@pytest.mark.parametrize("readers", [0, 2])
def test_reading_leaves_the_random_generators_alone(readers):
    torch.manual_seed(3)
    data = load(Made(change=noisy), memory=1000, readers=readers)
    list(data.train.parts(10))
    drawn = torch.rand(3)
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(3))
    assert torch.equal(data.train[:20].single, data.train[:20].single)


def test_workers_go_on_after_ctrl_c():
    def pressing(index: int, x: torch.Tensor, y: str) -> tuple[torch.Tensor, str]:
        if torch.utils.data.get_worker_info() is not None:
            os.kill(os.getpid(), signal.SIGINT)
        return x, y

    data = load(Made(change=pressing), memory=1000, readers=1)
    assert torch.equal(torch.cat([part.single for part in data.train.parts(7)]), data.train[:].x)


def dies(index: int, x: torch.Tensor, y: str) -> Any:
    if index == 40 and torch.utils.data.get_worker_info() is not None:
        os._exit(1)
    return x, y


def fails(index: int, x: torch.Tensor, y: str) -> Any:
    if index == 40:
        raise OSError("cannot open 40.png")
    return x, y


WRONG = [
    (fails, r"raised OSError: cannot open 40.png .*at sample 40"),
    (lambda i, x, y: (x[:1] if i == 40 else x, y), r"x of .*Made\): sample 40 has shape \(1, 4, 3"),
    (lambda i, x, y: (x / (i != 40), y), "holds NaN or infinite values at sample 40"),
    (lambda i, x, y: (x, y) if i != 40 else x[0, 0], "gives a Tensor at sample 40: it must give"),
    (lambda i, x, y: ((x, x) if i == 40 else x, y), r"sample 40 (consists|raised)|x of .*40"),
    (dies, r"a process that read the training dataset \(Made\) died.*fewer than 2"),
]


@pytest.mark.parametrize(("change", "message"), WRONG)
def test_a_sample_that_is_wrong_is_named(change, message):
    readers = 2 if change is dies else 0
    with pytest.raises(UsageError, match=message) as caught:
        load(Made(change=change), memory=1000, readers=readers)
    if change is fails:
        with pytest.raises(UsageError) as again:
            load(Made(change=change), memory=1000, readers=2)
        assert again.value.problems == caught.value.problems


def test_a_sample_that_fails_only_later():
    dataset = Made()
    data = load(dataset, memory=1000, readers=2)
    dataset.change = fails
    splits = (data.train, data.val, data.test)
    with pytest.raises(UsageError, match=r"cannot open 40\.png .* at sample 40"):
        _ = [list(split.parts(10)) for split in splits]


def test_a_training_and_a_test_dataset():
    ours = load((Made(), Made(30)), memory=1000, readers=0)
    assert_same(ours, load((Made(), Made(30))))


def test_what_cannot_be_streamed():
    data = load(Made(), memory=1000)
    with pytest.raises(UsageError, match="whitening takes all samples at once"):
        whiten(data)
    with pytest.raises(UsageError, match=r"readers=-1.*processes"):
        load(Made(), readers=-1)


def test_what_fits_is_not_streamed():
    assert not isinstance(load(Made(), memory="1MB").train, Streamed)
    assert not isinstance(load(Made(), memory=90 * 2 * 4 * 3 * 4).train, Streamed)
    assert isinstance(load(Made(), memory=90 * 2 * 4 * 3 * 4 - 1).train, Streamed)


@pytest.mark.parametrize(("passing", "some"), [(0.0, True), (60.0, False)])
def test_processes_read_where_they_pay(passing, some, monkeypatch):
    monkeypatch.setattr(reading, "_PASSING", passing)
    train = load(Made(), memory=1000).train
    assert isinstance(train, Streamed)
    assert isinstance(train.source, reading.Reading)
    assert (train.source.readers > 0) is some
