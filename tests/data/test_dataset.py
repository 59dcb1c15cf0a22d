from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import torch

from normwise.data import Data, Split, load
from normwise.errors import UsageError


@pytest.fixture
def data() -> Data:
    rng = np.random.default_rng(0)
    return load((rng.normal(size=(30, 3)), rng.integers(0, 2, 30)))


def test_a_fingerprint_is_stable_and_short(data):
    assert data.fingerprint() == data.fingerprint()
    assert len(data.fingerprint()) == 16
    assert int(data.fingerprint(), 16) >= 0


@pytest.mark.parametrize("name", ["train", "val", "test"])
@pytest.mark.parametrize("part", ["x", "y"])
def test_a_fingerprint_sees_every_value(data, name, part):
    split = getattr(data, name)
    changed = getattr(split, part).clone()
    changed.view(-1)[-1] += 1
    other = replace(data, **{name: replace(split, **{part: changed})})
    assert other.fingerprint() != data.fingerprint()


def test_a_fingerprint_sees_types_shapes_and_order(data):
    x, y = data.train.x, data.train.y
    prints = {
        replace(data, train=Split(*parts)).fingerprint()
        for parts in [(x, y), (x[:, :, None], y), (x.float(), y), (x.flip(0), y)]
    }
    assert len(prints) == 4
    assert replace(data, val=data.test, test=data.val).fingerprint() != data.fingerprint()


def test_a_fingerprint_does_not_see_memory_layout_or_name(data):
    strided = Split(data.train.x.t().contiguous().t(), data.train.y)
    assert not strided.x.is_contiguous()
    assert replace(data, train=strided, name="other").fingerprint() == data.fingerprint()


def test_to_moves_everything(data):
    there = data.to("meta")
    tensors = [t for s in (there.train, there.val, there.test) for t in (s.x, s.y)]
    assert there.mean is not None
    assert there.std is not None
    assert {t.device.type for t in [*tensors, there.mean, there.std]} == {"meta"}
    assert there.mean.dtype == torch.float64
    assert (there.name, there.labels, there.classes) == (data.name, data.labels, data.classes)


@pytest.mark.parametrize("device", ["cuda:99", "gpu", "", 3.5])
def test_devices_that_are_not_here(data, device):
    with pytest.raises(UsageError, match=r"device='.*' cannot be used here: .*Use 'cpu'"):
        data.to(device)


def test_nothing_can_be_set(data):
    with pytest.raises(FrozenInstanceError):
        data.name = "other"
    with pytest.raises(FrozenInstanceError):
        data.train.x = data.train.y


def test_length_and_text(data):
    assert len(data.train) == len(data.train.x) == 19
    assert repr(data.train) == "Split(19 samples of 3 float64)"
    assert repr(data).startswith("Data(name='arrays', train=Split(19 samples")
    assert "tensor" not in repr(data)


def test_several_inputs_are_no_single_one():
    x, y = torch.ones(3, 2), torch.zeros(3)
    assert Split(x, y).single is x
    with pytest.raises(UsageError, match=r"one input is needed here.*a 2 float32, b 2 float32"):
        _ = Split({"a": x, "b": x}, y).single
