import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, IterableDataset, Subset, TensorDataset

from normwise.data.datasets import read
from normwise.errors import UsageError


class Listed(Dataset):
    def __init__(self, samples):
        self.samples = samples

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        return self.samples[index]


class Lengthless(Dataset):
    def __getitem__(self, index):
        return torch.zeros(2), 0


class Stream(IterableDataset):
    def __iter__(self):
        yield torch.zeros(2), 0


class Broken(Listed):
    def __getitem__(self, index):
        if index == 2:
            raise OSError("cannot open 2.png")
        return super().__getitem__(index)


PAIRS = [(torch.full((2,), float(i)), i % 2) for i in range(4)]


def test_tensors_and_numbers():
    x, y = read(Listed(PAIRS)).train
    assert torch.equal(x, torch.tensor([[0.0, 0], [1, 1], [2, 2], [3, 3]]))
    assert y == [0, 1, 0, 1]


def test_a_pair_of_datasets_and_the_name():
    x = torch.arange(6.0).reshape(3, 2)
    whole = TensorDataset(x, torch.tensor([0, 1, 0]))
    raw = read(whole, Subset(whole, [2]))
    assert raw.name == "TensorDataset"
    assert torch.equal(raw.train[0], x)
    assert raw.test is not None
    assert torch.equal(raw.test[0], x[2:])
    assert torch.equal(raw.test[1], torch.tensor([0]))


@pytest.mark.parametrize(
    "values", [["a", "b"], [0.5, 1.5], [np.float64(2), np.float64(3)], [np.zeros(2), np.ones(2)]]
)
def test_other_values(values):
    _, y = read(Listed([(torch.zeros(1), value) for value in values])).train
    assert np.array_equal(y, values)


def test_what_numpy_reads_like_an_image():
    class Image:
        def __init__(self, value):
            self.value = value

        def __array__(self, dtype=None, copy=None):
            return np.full((2, 3), self.value, np.uint8)

    x, _ = read(Listed([(Image(7), 0), (Image(9), 1)])).train
    assert x.dtype == np.uint8
    assert x[:, 0, 0].tolist() == [7, 9]


def test_each_sample_is_read_once():
    reads = []

    class Counting(Listed):
        def __getitem__(self, index):
            reads.append(index)
            return super().__getitem__(index)

    read(Counting(PAIRS))
    assert reads == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (Stream(), "has no length"),
        (Lengthless(), "has no length"),
        (Listed([]), "is empty"),
        (Listed([torch.zeros(2)]), "gives a Tensor at sample 0: it must give pairs"),
        (Listed([(1, 2, 3)]), "gives 3 values at sample 0"),
        (Listed([{"x": 1, "y": 2}]), "gives a dict at sample 0"),
        (
            Listed([*PAIRS, (torch.zeros(3), 0)]),
            r"sample 4 has shape \(3,\) but sample 0 has \(2,\)",
        ),
        (
            Broken(PAIRS),
            r"raised OSError: cannot open 2.png \(.*test_datasets.py:\d+\) at sample 2",
        ),
    ],
)
def test_datasets_that_cannot_be_read(dataset, message):
    with pytest.raises(UsageError, match=message):
        read(dataset)


def test_both_datasets_are_reported():
    with pytest.raises(UsageError) as caught:
        read(Listed([]), Stream())
    training, test = caught.value.problems
    assert training == "the training dataset (Listed) is empty"
    assert test.startswith("the test dataset (Stream) has no length")


def test_samples_of_several_parts_are_joined_part_by_part():
    pairs = [
        (
            {"image": torch.full((2, 2), float(i)), "age": np.array([i])},
            {"kind": i % 2, "size": 0.5},
        )
        for i in range(4)
    ]
    x, y = read(Listed(pairs)).train
    assert torch.equal(x["image"][:, 0, 0], torch.arange(4.0))
    assert x["age"].tolist() == [[0], [1], [2], [3]]
    assert y == {"kind": [0, 1, 0, 1], "size": [0.5] * 4}
    x, _ = read(Listed([((torch.zeros(2), torch.ones(3)), i) for i in range(4)])).train
    assert [part.shape for part in x] == [(4, 2), (4, 3)]


def test_samples_of_unlike_parts_are_refused():
    pairs = [({"a": torch.zeros(1)}, 0), ({"b": torch.zeros(1)}, 1)]
    with pytest.raises(
        UsageError, match=r"sample 1 consists of .*\['b'\] but sample 0 of .*\['a'\]"
    ):
        read(Listed(pairs))
