"""What is written to a file computes what the network does, or is not written."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from normwise.edit import export, fold, load_weights
from normwise.edit.folding.shipping import FORMATS
from normwise.errors import UsageError


def network() -> nn.Module:
    torch.manual_seed(0)
    made = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout())
    nn.init.normal_(made[1].running_mean)
    return made


@pytest.fixture(scope="module")
def example() -> Tensor:
    return torch.randn(2, 3, 6, 5)


def loaded_onnx(path: Path) -> Any:
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(path.read_bytes())
    [taken] = session.get_inputs()
    return lambda x: torch.from_numpy(session.run(None, {taken.name: x.numpy()})[0])


def loaded_pt2(path: Path) -> Any:
    return torch.export.load(path).module()


def loaded_safetensors(path: Path) -> Any:
    folded = fold(network(), torch.randn(2, 3, 6, 5))
    nn.init.zeros_(folded.get_parameter("0.weight"))
    folded.load_state_dict(load_file(path))
    return folded


READERS = {".onnx": loaded_onnx, ".pt2": loaded_pt2, ".safetensors": loaded_safetensors}


@pytest.mark.parametrize("ending", READERS)
def test_a_file_computes_what_the_original_does(ending: str, example: Tensor, tmp_path: Path):
    original = network()
    path = tmp_path / f"net{ending}"
    assert export(fold(original, example), example, path, original=original) == path
    read = READERS[ending](path)
    original.eval()
    for x in (example, torch.randn(5, 3, 7, 8)):
        np.testing.assert_allclose(read(x).detach(), original(x).detach(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("ending", [".pt2", ".safetensors"])
def test_what_differs_from_the_original_is_not_kept(ending: str, example: Tensor, tmp_path: Path):
    folded, other = fold(network(), example), network()
    with torch.no_grad():
        other[0].weight[0, 0, 0, 0] += 0.01
    with pytest.raises(UsageError, match="does not compute what the network does"):
        export(folded, example, tmp_path / f"net{ending}", original=other)
    assert not list(tmp_path.iterdir())


def test_unknown_endings_and_absent_packages(
    example: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folded = fold(network(), example)
    with pytest.raises(UsageError, match=r"unknown ending '.onx' \(did you mean '.onnx'\?\)"):
        export(folded, example, tmp_path / "net.onx")
    found = {"onnx": None}
    monkeypatch.setattr("normwise.edit.folding.shipping.find_spec", lambda n: found.get(n, n))
    with pytest.raises(UsageError, match=r"needs onnx: pip install 'normwise\[onnx\]'"):
        export(folded, example, tmp_path / "net.onnx")


# --- weights ------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".safetensors", ".pt", ".ckpt"])
def test_weights_are_loaded(ending: str, tmp_path: Path):
    source, target = nn.Linear(2, 3), nn.Linear(2, 3)
    path = tmp_path / f"w{ending}"
    save = save_file if ending == ".safetensors" else torch.save
    save(source.state_dict(), path)
    load_weights(target, path)
    assert torch.equal(source.weight, target.weight)


@pytest.mark.parametrize("name", ["state_dict", "model_state_dict"])
def test_weights_of_a_checkpoint_are_loaded(name: str, tmp_path: Path):
    source, target = nn.Linear(2, 3), nn.Linear(2, 3)
    torch.save({"epoch": 3, name: source.state_dict()}, tmp_path / "w.pt")
    load_weights(target, tmp_path / "w.pt")
    assert torch.equal(source.weight, target.weight)


def test_weights_that_do_not_fit_are_all_told_and_change_nothing(tmp_path: Path):
    save_file({"weight": torch.ones(3, 3), "bais": torch.ones(3)}, tmp_path / "w.safetensors")
    target = nn.Linear(2, 3)
    before = target.weight.detach().clone()
    with pytest.raises(UsageError) as caught:
        load_weights(target, tmp_path / "w.safetensors")
    told = [problem.partition("safetensors: ")[2] for problem in caught.value.problems]
    assert told == [
        "bias is missing (did you mean 'bais'?)",
        "bais is no weight of the network",
        "weight has shape (3, 3), and the network's (3, 2)",
    ]
    assert torch.equal(before, target.weight)


class Harm:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("harm"),))


def test_nothing_in_a_file_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": Harm()}, tmp_path / "w.pt")
    with pytest.raises(UsageError, match="cannot be read as weights: it holds more than tensors"):
        load_weights(nn.Linear(2, 3), tmp_path / "w.pt")
    assert not Path("harm").exists()


def test_a_whole_network_is_no_weights(tmp_path: Path):
    torch.save(nn.Linear(2, 3), tmp_path / "w.pt")
    with pytest.raises(UsageError, match=r"Save network\.state_dict\(\) instead$"):
        load_weights(nn.Linear(2, 3), tmp_path / "w.pt")


def test_files_that_are_no_weights(tmp_path: Path):
    (tmp_path / "w.safetensors").write_bytes(b"no weights")
    (tmp_path / "w.h5").write_bytes(b"")
    torch.save([1, 2], tmp_path / "list.pt")
    for name, message in {
        "w.safetensors": "cannot be read as weights",
        "w.h5": "unknown ending '.h5'",
        "list.pt": "holds no state dict",
        "w.safetensor": r"no such file: .* \(did you mean 'w.safetensors'\?\)",
    }.items():
        with pytest.raises(UsageError, match=message):
            load_weights(nn.Linear(2, 3), tmp_path / name)


def test_the_formats_are_the_documented_ones():
    assert list(READERS) == list(FORMATS)
