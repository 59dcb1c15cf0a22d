"""A streamed training ends with the very weights of one that has all samples in memory."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

import normwise as nw
from normwise.data import Streamed, load, streamed

SETTINGS: dict[str, Any] = {"epochs": 3, "batch_size": 16, "lr": 0.05, "device": "cpu"}


class Made(Dataset):
    def __init__(self, noise: float = 0.0) -> None:
        draw = np.random.default_rng(1)
        self.x = draw.normal(3, 5, (130, 1, 4, 4)).astype(np.float32)
        self.y = (self.x[:, 0, 0, 0] > 3).astype(int)
        self.noise = noise

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        x = torch.from_numpy(self.x[index])
        noise = self.noise * torch.randn_like(x) if self.noise else 0
        return x + noise, int(self.y[index])


def make() -> nn.Module:
    return nn.Sequential(
        *(nn.Flatten(), nn.Linear(16, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3)),
        nn.Linear(8, 2),
    )


def assert_same(a: nw.Trained, b: nw.Trained) -> None:
    ours, theirs = a.network.state_dict(), b.network.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert (
        a.frame()
        .drop(columns="seconds", errors="ignore")
        .equals(b.frame().drop(columns="seconds", errors="ignore"))
    )


@pytest.mark.parametrize(
    "words",
    [
        {},
        {"augment": "noise:0.1", "accumulate": 2, "optimizer": "adam", "schedule": "cosine"},
        {"batch_size": 1000, "early_stop": 1, "evaluate_every": 1, "lr": 3.0},
    ],
)
@pytest.mark.parametrize(("readers", "memory"), [(0, "1KB"), (0, "4KB"), (2, "4KB"), (None, "1KB")])
def test_the_same_final_weights(words, readers, memory, monkeypatch):
    monkeypatch.setattr(streamed, "PIECE", 1500)  # a batch and a half
    whole = nw.fit(make, Made(), **{**SETTINGS, **words})
    if readers is None:
        ours = nw.fit(make, (Made().x, Made().y), **{**SETTINGS, **words}, memory="1KB")
        whole = nw.fit(make, (Made().x, Made().y), **{**SETTINGS, **words})
    else:
        data = load(Made(), memory=memory, readers=readers)
        assert isinstance(data.train, Streamed)
        assert bool(data.train.kept) is (memory == "4KB")
        ours = nw.fit(make, data, **{**SETTINGS, **words})
    assert_same(ours, whole)
    assert ours.facts["samples"] == f"{whole.facts['samples']}; streamed"


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_a_resumed_training_ends_the_same(noise, tmp_path: Path):
    """Also where the dataset draws random numbers, and however many processes read it."""

    def fit(folder: Path | None, readers: int, **more: Any) -> nw.Trained:
        data = load(Made(noise), memory="1KB", readers=readers)
        return nw.fit(make, data, out=folder, **{**SETTINGS, **more})

    def ends(x: Tensor, generator: torch.Generator) -> Tensor:
        count.append(len(x))
        if len(count) == 15:
            raise RuntimeError("the power fails")
        return x

    def goes_on(x: Tensor, generator: torch.Generator) -> Tensor:
        return x

    ends.__qualname__ = goes_on.__qualname__
    count: list[int] = []
    whole = fit(None, 2, augment=goes_on)
    with pytest.raises(nw.UsageError, match="the power fails"):
        fit(tmp_path, 0, augment=ends, checkpoint_every=3)
    assert_same(fit(tmp_path, 2, augment=goes_on, checkpoint_every=3, resume=True), whole)


def test_random_transforms_are_drawn_anew_in_every_epoch():
    seen: list[Tensor] = []

    def watching(x: Tensor, generator: torch.Generator) -> Tensor:
        seen.append(x.clone())
        return x

    data = load(Made(noise=1.0), memory="1KB", readers=0)
    before = torch.get_rng_state()
    nw.fit(make, data, augment=watching, **{**SETTINGS, "epochs": 2})
    assert torch.equal(torch.get_rng_state(), before)
    half = len(seen) // 2
    first, second = torch.cat(seen[:half]).flatten(1), torch.cat(seen[half:]).flatten(1)
    distances = torch.cdist(first, second)
    assert distances.min() > 0.01
    assert distances.min(1).values.median() < 3  # of the same sample: 4 x sqrt(2) x noise / std


def test_a_study_of_streamed_samples_trains_one_run_after_another():
    options = {**SETTINGS, "lr": 0.1, "epochs": 1}
    data = load(Made(), memory="1KB", readers=0)
    study = nw.compare(make, data, ["plain", "layer"], seeds=2, workers=2, stack=2, **options)
    whole = nw.compare(make, load(Made()), ["plain", "layer"], seeds=2, **options, stack=1)
    assert study.curves().equals(whole.curves())
    assert set(study.plan["reason"]) == {
        "the samples are streamed, and every run takes them in its own order"
    }


def test_the_perceptron_and_a_network_in_float64():
    data = load(Made(), memory="1KB", readers=0)
    assert_same(nw.fit(None, data, **SETTINGS), nw.fit(None, Made(), **SETTINGS))
    data = load(Made(), memory="4KB", readers=0)
    double = [nw.fit(lambda: make().double(), each, **SETTINGS) for each in (data, Made())]
    assert_same(*double)
    assert next(double[0].network.parameters()).dtype == torch.float64


def test_a_bound_that_is_no_number_of_bytes_is_told_with_the_rest():
    with pytest.raises(nw.UsageError) as error:
        nw.fit(make, Made(), memory="2XB", epochs=0)
    assert [problem.partition(":")[0] for problem in error.value.problems] == [
        "memory='2XB'",
        "epochs=0",
    ]
