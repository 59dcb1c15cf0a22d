"""`fit` is a run of `compare` that hands over its network, and goes on after anything."""

import json
import multiprocessing
import os
import random
import signal
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import normwise as nw

QUICK: dict[str, Any] = {"epochs": 4, "batch_size": 16, "lr": 0.1}
CLASSES = np.array(["low", "mid", "top"])


def arrays(n: int = 120) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(1)
    x = draw.normal(3, 5, (n, 6)).astype(np.float32)
    return x, CLASSES[np.digitize(x[:, 0], [1, 5])]


def make() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))


def state(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_it_is_the_run_of_a_study():
    options = {**QUICK, "optimizer": "adam", "lr": 0.02, "schedule": "cosine", "evaluate_every": 3}
    trained = nw.fit(make, arrays(), "batch", seed=5, **options)
    study = nw.compare(make, arrays(), ["batch"], seeds=[5], stack=1, workers=1, **options)
    ours, theirs = trained.frame(), study.curves()
    for column in ("step", "train_loss", "val_loss", "val_acc"):
        assert np.array_equal(ours[column], theirs[column], equal_nan=True)


def test_how_often_the_users_function_is_called():
    made = []
    nw.fit(lambda: (made.append(1), make())[1], arrays(), **QUICK)
    # Twice to see that networks are fresh; to look at; with the variant, to try; to train.
    assert len(made) == 5


def test_labels_that_came_as_floats_are_recognised():
    x, y = arrays()
    with pytest.raises(nw.UsageError, match=r"needs 1 output \(.*labels of classes are integers"):
        nw.fit(make, (x, (y == "low").astype(np.float32)), **QUICK)


def test_a_diverged_training_says_so_and_what_to_try():
    torch.manual_seed(0)
    network = make()
    before = state(network)
    trained = nw.fit(network, arrays(), **{**QUICK, "lr": 1e30})
    assert trained.diverged
    assert trained.best == 0
    assert "diverged by step 4" in trained.verdict
    assert "lower learning rate" in trained.verdict
    assert "lowest loss" not in trained.verdict
    assert trained.verdict.endswith("The network has the weights of the start.")
    assert same(state(network), before)
    ended = nw.fit(make, nw.data.load(arrays(), val=0), **{**QUICK, "lr": 1e30})
    assert ended.verdict.endswith("the weights of the end, which are of no use.")
    assert not nw.fit(make, arrays(), **QUICK).diverged


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"out": "theirs", "resume": True}, "another training"),
        ({"init_from": {"x": torch.ones(2)}}, "no weight of the source"),
    ],
)
def test_what_is_refused_leaves_the_users_network_as_it_was(options, reason, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    nw.fit(make(), arrays(), "batch", seed=1, out="theirs", **QUICK)
    network = make()
    before, modules = state(network), [type(module) for module in network]
    with pytest.raises(nw.UsageError, match=reason):
        nw.fit(network, arrays(), "batch", **options, **QUICK)
    assert same(state(network), before)
    assert [type(module) for module in network] == modules


def test_the_weights_of_the_lowest_validation_loss_come_back():
    data = nw.data.load(arrays())
    trained = nw.fit(make, data, **{**QUICK, "epochs": 30, "lr": 1.5})
    frame = trained.frame()
    lowest = frame.loc[frame["val_loss"].idxmin()]
    assert trained.best == lowest["step"] < frame["step"].iloc[-1]
    with torch.no_grad():
        loss = nn.functional.cross_entropy(trained.network(data.val.x), data.val.y).item()
    assert loss == pytest.approx(lowest["val_loss"], rel=1e-6)


def test_early_stopping_ends_after_its_patience():
    trained = nw.fit(make, arrays(), early_stop=2, **{**QUICK, "epochs": 60, "lr": 1.0})
    steps = trained.frame()["step"].tolist()
    assert steps.index(trained.best) == len(steps) - 3
    assert steps[-1] < 60 * 4


def test_a_network_of_the_users_own_is_trained_in_place():
    torch.manual_seed(0)
    network = make()
    before = state(network)
    trained = nw.fit(network, arrays(), **QUICK)
    assert trained.network is network
    assert not network.training
    assert not torch.equal(before["0.weight"], network[0].weight)


def test_words_of_the_variant_change_the_network():
    trained = nw.fit(make(), arrays(), "batch+dropout=0.4", **QUICK)
    kinds = [type(module) for module in trained.network.modules()]
    assert nn.BatchNorm1d in kinds


def test_raw_samples_are_predicted_by_the_names_of_the_classes():
    x, y = arrays(300)
    trained = nw.fit(make, (x, y), **{**QUICK, "epochs": 15})
    data = nw.data.load((x, y))
    standardised = (torch.from_numpy(x).double() - data.mean) / data.std
    with torch.no_grad():
        outputs = trained.network(standardised.float())
    assert torch.equal(trained.outputs(x), outputs)
    assert trained.predict(x.tolist()).tolist() == CLASSES[outputs.argmax(1)].tolist()
    assert (trained.predict(x) == y).mean() > 0.9


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((3, 5)), "x has samples of shape (5,), and the network was trained on (6,)"),
        ((np.zeros((3, 6)), np.zeros((3, 6))), "x consists of x[0], x[1], and the network was"),
        ([["a"] * 6], "x holds strings"),
        ([[0.0] * 5 + [np.nan]], "x holds 1 NaN and 0 infinite values in 1 of 1 samples"),
    ],
)
def test_samples_unlike_those_of_the_training_are_refused(x, message):
    trained = nw.fit(make, arrays(), **{**QUICK, "epochs": 1})
    with pytest.raises(nw.UsageError) as error:
        trained.predict(x)
    assert message in str(error.value)


class TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(6, 8)
        self.kind, self.size = nn.Linear(8, 3), nn.Linear(8, 1)

    def forward(self, a: Tensor, b: Tensor) -> dict[str, Tensor]:
        features = torch.relu(self.body(torch.cat([a, b], 1)))
        return {"kind": self.kind(features), "size": self.size(features)}


def test_several_inputs_and_heads_are_trained_saved_and_predicted(tmp_path):
    x, y = arrays(200)
    samples = {"a": x[:, :2], "b": x[:, 2:]}
    targets = {"kind": y, "size": x[:, 0] / 5}
    trained = nw.fit(
        TwoHeads,
        (samples, targets),
        loss={"size": "huber_loss"},
        loss_weights={"size": 0.5},
        **{**QUICK, "epochs": 20},
    )
    assert {"val_score", "val_kind_acc", "val_size_r2"} <= set(trained.frame())
    found = trained.predict(samples)
    assert (found["kind"] == y).mean() > 0.9
    assert found["size"].shape == (200, 1)
    again = nw.Trained.load(trained.save(tmp_path / "two"), TwoHeads)
    assert np.array_equal(again.predict(samples)["size"], found["size"])


def test_what_is_saved_is_loaded_and_nothing_else_is_executed(tmp_path):
    x, y = arrays()
    trained = nw.fit(make, (x, y), "batch", **QUICK)
    folder = trained.save(tmp_path / "net")
    assert {path.name for path in folder.iterdir()} == {
        "fit.json",
        "history.csv",
        "model.safetensors",
        "report.html",
    }
    again = nw.Trained.load(folder, make)
    assert same(state(again.network), state(trained.network))
    assert again.frame().equals(trained.frame())
    assert again.predict(x).tolist() == trained.predict(x).tolist()
    with pytest.raises(nw.UsageError, match="holds no finished training"):
        nw.Trained.load(tmp_path, make)


def test_a_metric_of_the_users_own_is_told_by_its_name():
    def recall_of_top(output: Tensor, target: Tensor) -> Tensor:
        return (output.argmax(1)[target == 2] == 2).double().mean()

    trained = nw.fit(make, arrays(), metric=recall_of_top, **QUICK)
    assert "val_recall_of_top" in trained.frame()
    assert trained.metric_name == "recall_of_top"


def test_pretrained_weights_are_taken_over_and_told():
    autoencoder = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 6))
    trained = nw.fit(make, arrays(), init_from=autoencoder, **{**QUICK, "lr": 1e-12, "epochs": 1})
    assert torch.allclose(trained.network[0].weight, autoencoder[0].weight, atol=1e-6)
    assert trained.notes[0] == "Weights at the start: 2 taken over: 0.weight, 0.bias."
    with pytest.raises(nw.UsageError, match="no weight of the source has a name and shape"):
        nw.fit(make, arrays(), init_from={"other": torch.ones(2)}, **QUICK)


def test_data_without_validation_train_to_the_end():
    data = nw.data.load(arrays(), val=0, test=0)
    trained = nw.fit(make, data, **QUICK)
    frame = trained.frame()
    assert trained.best == frame["step"].iloc[-1]
    assert frame["val_loss"].isna().all()
    assert "Training loss" in trained.verdict
    with pytest.raises(nw.UsageError) as error:
        nw.fit(make, data, early_stop=3, schedule="plateau", **QUICK)
    assert [problem.split(" goes")[0] for problem in error.value.problems] == [
        "early_stop",
        "schedule=plateau",
    ]
    with pytest.raises(nw.UsageError, match="no validation split, and variants are selected by it"):
        nw.compare(make, data, ["plain"], seeds=1)


@pytest.mark.parametrize(
    ("options", "messages"),
    [
        ({"epochs": 0, "lr": -1.0}, ["epochs=0", "lr=-1.0"]),
        ({"loss": "mse_loss"}, ["loss=mse_loss is for a regression"]),
        ({"loss": {"kind": "mse_loss"}}, ["loss is a dict, and there is one head only"]),
        ({"loss_weights": {"kind": 1.0}}, ["loss_weights are for several heads"]),
        ({"variant": "batch+layer"}, ["names its norm more than once"]),
        ({"resume": True, "checkpoint_every": 2}, ["resume needs out", "checkpoint_every needs"]),
        ({"schedule": "step=9"}, ["9 epochs are no less than the whole training"]),
        ({"seed": -1}, ["a seed is a whole number"]),
        ({"device": "tpu"}, ["device='tpu' cannot be used here"]),
    ],
)
def test_mistakes_are_told_before_anything_trains(options, messages):
    with pytest.raises(nw.UsageError) as error:
        nw.fit(make, arrays(), **{**QUICK, **options})
    assert len(error.value.problems) == len(messages)
    for problem, message in zip(error.value.problems, messages, strict=True):
        assert message in problem


def test_a_folder_that_cannot_be_used_is_told(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "thesis.txt").write_text("mine")
    for out, message in (("file", "is a file"), ("used", "is not empty")):
        with pytest.raises(nw.UsageError, match=message):
            nw.fit(make, arrays(), out=tmp_path / out, **QUICK)
    with pytest.raises(nw.UsageError, match="holds no checkpoint to go on from"):
        nw.fit(make, arrays(), out=tmp_path / "used", resume=True, **QUICK)
    assert (tmp_path / "used" / "thesis.txt").read_text() == "mine"


def test_a_network_is_as_it_was_where_the_folder_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    network = make()
    before, kinds = state(network), [type(module) for module in network.modules()]
    with pytest.raises(nw.UsageError, match="is not empty"):
        nw.fit(network, arrays(), "batch", out=tmp_path, init_from=make(), **QUICK)
    assert same(state(network), before)
    assert [type(module) for module in network.modules()] == kinds


def test_a_training_that_was_killed_before_its_first_checkpoint_begins_again(tmp_path):
    whole = nw.fit(make, arrays(), out=tmp_path / "a", **QUICK)
    for path in (tmp_path / "a").rglob("*"):
        if path.is_file() and path.name != "training.json":
            path.unlink()
    again = nw.fit(make, arrays(), out=tmp_path / "a", resume=True, **QUICK)
    assert same(state(again.network), state(whole.network))


def test_labels_outside_the_classes_are_told():
    data = nw.data.load(arrays())
    wrong = nw.data.Split(data.val.x, data.val.y + 1)
    with pytest.raises(nw.UsageError, match=r"the val split holds labels from 1 to 3.*3 classes"):
        nw.fit(make, replace(data, val=wrong), **QUICK)


def test_running_out_of_memory_says_what_to_lower():
    class Greedy(nn.Linear):
        steps = 0

        def forward(self, x: Tensor) -> Tensor:
            Greedy.steps += self.training
            if Greedy.steps > 5:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")
            return super().forward(x)

    with pytest.raises(nw.UsageError, match=r"ran out of memory.*lower batch_size"):
        nw.fit(lambda: Greedy(6, 3), arrays(), **QUICK)


class Failing(torch.utils.data.Dataset):
    """Cannot be read any more from some moment on."""

    broken = False

    def __len__(self) -> int:
        return 60

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        if self.broken:
            raise OSError("the disk is gone")
        return torch.full((6,), float(index)), index % 3


def test_a_sample_that_cannot_be_read_any_more_says_what_is_kept(tmp_path):
    dataset = Failing()
    data = nw.data.load(dataset, memory=1, readers=0)

    def breaking(output: Tensor, target: Tensor) -> Tensor:
        dataset.broken = output.requires_grad  # once the training has begun
        return nn.functional.cross_entropy(output, target)

    with pytest.raises(
        nw.UsageError, match=r"the disk is gone .*at sample \d+\. Checkpoints in .*"
    ):
        nw.fit(make, data, loss=breaking, out=tmp_path / "fit", **QUICK)


def noisy(x: Tensor, generator: torch.Generator) -> Tensor:
    return x + 0.1 * torch.randn(x.shape, generator=generator)


LONG = {**QUICK, "epochs": 12, "optimizer": "adam", "lr": 0.02, "schedule": "onecycle"}


def test_ctrl_c_keeps_what_is_trained_and_the_rest_follows_bit_for_bit(tmp_path):
    whole = nw.fit(make, arrays(), augment=noisy, **LONG)
    count = [0]

    def pressing(x: Tensor, generator: torch.Generator) -> Tensor:
        count[0] += 1
        if count[0] == 21:
            os.kill(os.getpid(), signal.SIGINT)
        return noisy(x, generator)

    pressing.__qualname__ = noisy.__qualname__
    part = nw.fit(make, arrays(), augment=pressing, out=tmp_path / "a", **LONG)
    assert part.interrupted
    assert part.frame()["step"].iloc[-1] == 20
    assert json.loads((tmp_path / "a" / "fit.json").read_text())["interrupted"]
    rest = nw.fit(make, arrays(), augment=noisy, out=tmp_path / "a", resume=True, **LONG)
    assert not rest.interrupted
    assert same(state(rest.network), state(whole.network))
    assert rest.frame().equals(whole.frame())
    again = nw.fit(make, arrays(), augment=noisy, out=tmp_path / "a", resume=True, **LONG)
    assert same(state(again.network), state(whole.network))


def test_resuming_another_training_is_refused(tmp_path):
    nw.fit(make, arrays(), out=tmp_path / "a", **QUICK)
    with pytest.raises(nw.UsageError, match=r"another training.*lr: 0.1 there, 0.2 here"):
        nw.fit(make, arrays(), out=tmp_path / "a", resume=True, **{**QUICK, "lr": 0.2})


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the processes to be killed are forks")
def test_killed_ten_times_it_ends_with_the_same_bits(tmp_path):
    """SIGKILL at random moments; each new process goes on from what is on disk."""
    options = {**LONG, "epochs": 60, "augment": noisy, "accumulate": 2, "early_stop": 50}
    whole = nw.fit(make, arrays(), **options)
    folder = tmp_path / "killed"
    fork = multiprocessing.get_context("fork")

    def slowed(x: Tensor, generator: torch.Generator) -> Tensor:
        time.sleep(0.005)  # so that 240 steps outlast ten kills
        return noisy(x, generator)

    slowed.__qualname__ = noisy.__qualname__

    def train() -> None:
        nw.fit(
            *(make, arrays()),
            out=folder,
            resume=folder.exists(),
            checkpoint_every=3,
            **{**options, "augment": slowed},
        )

    draw = random.Random(0)
    for _ in range(10):
        child = fork.Process(target=train)
        child.start()
        while child.is_alive() and not list(folder.glob("checkpoints/*.json")):
            time.sleep(0.001)
        child.join(draw.uniform(0.02, 0.12))
        assert child.is_alive()
        os.kill(child.pid, signal.SIGKILL)
        child.join()
    trained = nw.fit(*(make, arrays()), out=folder, resume=True, checkpoint_every=3, **options)
    assert same(state(trained.network), state(whole.network))
    assert trained.frame().equals(whole.frame())
