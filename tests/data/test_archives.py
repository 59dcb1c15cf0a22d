import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from normwise.data.archives import read
from normwise.errors import UsageError

X, Y = np.arange(6.0).reshape(3, 2), np.array([0, 1, 0])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def saved(path: Path, **arrays: np.ndarray) -> Path:
    if path.suffix == ".npz":
        np.savez(path, allow_pickle=False, **arrays)
    else:
        save_file({name: torch.tensor(array) for name, array in arrays.items()}, path)
    return path


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_both_sets_of_names(folder, suffix):
    raw = read(saved(folder / f"mine{suffix}", y=Y, x=X, note=np.zeros(1)))
    assert raw.name == "mine"
    assert raw.test is None
    assert np.array_equal(raw.train[0], X)
    assert np.array_equal(raw.train[1], Y)
    raw = read(
        saved(folder / f"four{suffix}", y_test=Y[:1], x_test=X[:1], x_train=X + 1, y_train=Y)
    )
    assert np.array_equal(raw.train[0], X + 1)
    assert raw.test is not None
    assert np.array_equal(raw.test[0], X[:1])
    assert np.array_equal(raw.test[1], Y[:1])


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("names", [["images", "y"], ["x", "y", "x_test"], ["x_train", "y_train"]])
def test_other_names(folder, suffix, names):
    path = saved(folder / f"mine{suffix}", **dict.fromkeys(names, X))
    with pytest.raises(UsageError) as caught:
        read(path)
    assert str(caught.value) == (
        f"{path} holds {', '.join(sorted(names))}: needed are either x, y or "
        "x_train, y_train, x_test, y_test"
    )


def test_strings_as_labels(folder):
    raw = read(saved(folder / "mine.npz", x=X, y=np.array(["a", "b", "a"])))
    assert raw.train[1].tolist() == ["a", "b", "a"]


def test_nothing_is_unpickled(folder):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("unpickled",))

    np.savez(folder / "trap.npz", x=np.array([Trap()], dtype=object), y=Y)
    with pytest.raises(UsageError, match=r"cannot be read as .npz: .*never loaded"):
        read(folder / "trap.npz")


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("keep", [0.0, 0.3, 0.6, 0.95])
def test_a_file_cut_short(folder, suffix, keep):
    path = saved(folder / f"mine{suffix}", x=X, y=Y)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(UsageError, match=rf"mine{suffix} cannot be read as {suffix}: \S"):
        read(path)


def test_flipped_bits(folder):
    path = saved(folder / "mine.npz", x=X, y=Y)
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("x.npy").header_offset
    content[start + 200] ^= 255
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"cannot be read as \.npz"):
        read(path)


def test_a_single_array_under_an_archives_name(folder):
    with (folder / "mine.npz").open("wb") as file:
        np.save(file, X)
    with pytest.raises(UsageError, match=r"holds a single array: save with np.savez"):
        read(folder / "mine.npz")


def test_a_missing_file_and_a_near_one(folder):
    saved(folder / "weather.npz", x=X, y=Y)
    with pytest.raises(UsageError, match=r"no such file: .*wether.npz \(did you mean 'weather"):
        read(folder / "wether.npz")


def test_a_folder_and_other_endings(folder):
    (folder / "a.npz").mkdir()
    with pytest.raises(UsageError, match="no such file"):
        read(folder / "a.npz")
    with pytest.raises(UsageError, match=r"a.csv: data is read from files that end in .npz or"):
        read(folder / "a.csv")
