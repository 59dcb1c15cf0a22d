"""Checkpoints come back exactly, and one that cannot be used is told so."""

import math
from pathlib import Path

import pytest
import torch

from normwise.errors import UsageError
from normwise.stack import State
from normwise.study.checkpoints import Checkpoints

IDENTITY = {"seed": 3, "loss": None, "data": "abc"}


def state(step: int) -> State:
    draw = torch.Generator().manual_seed(step)
    tensors = {
        "network/weight": torch.randn(3, 2, generator=draw),
        "network/count": torch.tensor(step),
        "losses": torch.tensor([0.1 + step], dtype=torch.float64),
    }
    return State(step, tensors, {"watch": [math.inf, None, 0], "loss": 0.1 + 0.2})


@pytest.fixture
def saved(tmp_path: Path) -> Checkpoints:
    checkpoints = Checkpoints(tmp_path, IDENTITY)
    checkpoints.begin()
    for step in (5, 10, 15):
        checkpoints.save(state(step))
    return checkpoints


def test_what_was_saved_comes_back_bit_for_bit(saved):
    found, lost = saved.load()
    assert (found.step, lost) == (15, [])
    assert found.plain == state(15).plain
    for name, tensor in state(15).tensors.items():
        assert found.tensors[name].dtype == tensor.dtype
        assert torch.equal(found.tensors[name], tensor)


def test_the_last_two_are_kept(saved, tmp_path):
    names = sorted(path.name for path in tmp_path.glob("step-*"))
    assert names == [
        f"step-0000000{step}.{end}" for step in (10, 15) for end in ("json", "safetensors")
    ]


def test_there_is_nothing_to_go_on_from_in_an_empty_folder(tmp_path):
    assert Checkpoints(tmp_path / "none", IDENTITY).load() == (None, [])


@pytest.mark.parametrize("torn", ["json", "safetensors", "missing"])
def test_a_torn_checkpoint_gives_way_to_the_one_before(saved, tmp_path, torn):
    path = tmp_path / f"step-000000015.{'json' if torn == 'json' else 'safetensors'}"
    content = path.read_bytes()
    path.unlink()
    if torn != "missing":
        path.write_bytes(content[: len(content) // 2])
    found, [lost] = saved.load()
    assert found.step == 10
    assert path.name in lost
    told = {"json": "damaged", "safetensors": "damaged", "missing": "cannot be read"}
    assert told[torn] in lost


def test_a_flipped_bit_is_noticed(saved, tmp_path):
    path = tmp_path / "step-000000015.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    found, [lost] = saved.load()
    assert found.step == 10
    assert "is not what was written" in lost


def test_checkpoints_that_are_all_torn_are_an_error(saved, tmp_path):
    for path in tmp_path.glob("*.safetensors"):
        path.write_bytes(b"")
    with pytest.raises(UsageError) as error:
        saved.load()
    assert len(error.value.problems) == 2


def test_foreign_checkpoints_tell_once_what_differs(saved, tmp_path):
    with pytest.raises(UsageError, match=r"is of another training \(seed: 3 there") as error:
        Checkpoints(tmp_path, {**IDENTITY, "seed": 4}).load()
    [problem] = error.value.problems  # once, though there are two checkpoints
    assert problem.endswith("(seed: 3 there, 4 here): name another folder")


def test_an_older_format_is_told(saved, tmp_path):
    for path in tmp_path.glob("step-*.json"):
        path.write_text(path.read_text().replace('"format": 1', '"format": 0'))
    with pytest.raises(UsageError, match="has format 0, and this normwise reads 1"):
        saved.load()


def test_nothing_is_ever_unpickled(saved, tmp_path):
    class Bomb:
        def __reduce__(self):
            return Path.touch, (tmp_path / "exploded",)

    torch.save(Bomb(), tmp_path / "step-000000015.safetensors")
    assert saved.load()[0].step == 10
    assert not (tmp_path / "exploded").exists()


def test_a_training_that_has_begun_is_known_before_its_first_checkpoint(tmp_path):
    checkpoints = Checkpoints(tmp_path, IDENTITY)
    assert not checkpoints.begun
    checkpoints.begin()
    assert checkpoints.begun
    assert not Checkpoints(tmp_path, {**IDENTITY, "seed": 4}).begun
    with pytest.raises(UsageError, match="cannot write"):
        Checkpoints(tmp_path / "training.json" / "below a file", IDENTITY).begin()
