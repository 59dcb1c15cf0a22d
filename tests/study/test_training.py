"""Jobs as they are done: stacked or alone, the records and the progress are the same."""

from collections.abc import Callable, Sequence

import pandas as pd
import pytest
import torch
from torch import nn

import normwise as nw
from normwise.data import Data
from normwise.errors import UsageError
from normwise.stack import NotStackable, Planner, Run, Stacked
from normwise.study.plan import _worker_problems
from normwise.study.record import Record
from normwise.study.schedule import Job, Schedule
from normwise.study.training import Advance

VARIANTS = ["plain", "batch", "lr=5x", "dropout=0.3", "dropout=0.5"]


@pytest.fixture
def compared(data: Callable[..., Data], net) -> Callable[..., nw.Study]:
    def run(**settings) -> nw.Study:
        options = {"seeds": 3, "epochs": 3, "batch_size": 16, "lr": 0.05} | settings
        return nw.compare(net, data("classes"), VARIANTS, **options)

    return run


def test_a_stacked_study_is_the_study(compared):
    """The initial losses agree to float32's rounding, and so does what comes of them."""
    alone, stacked = compared(stack=1, workers=1), compared(stack=3, workers=1)
    columns = ["train_loss", "val_loss", "test_loss"]
    ours, theirs = stacked.frame(), alone.frame()
    assert ours[["variant", "seed"]].equals(theirs[["variant", "seed"]])
    for column in columns:
        assert ours[column].to_numpy() == pytest.approx(theirs[column].to_numpy(), rel=1e-4)
    layers, same = stacked.results.layers(), alone.results.layers()
    assert layers["std"].to_numpy() == pytest.approx(same["std"].to_numpy(), rel=1e-4)


def test_processes_change_nothing(compared):
    one, two = compared(stack=2, workers=1), compared(stack=2, workers=2)
    drop = ["seconds"]
    assert one.frame().drop(columns=drop).equals(two.frame().drop(columns=drop))
    assert one.curves().equals(two.curves())


def test_variants_of_one_architecture_share_stacks(compared):
    plan = compared(stack=6, workers=1).plan
    together = {tuple(sorted(v.split(", "))) for v in plan["variants"]}
    assert together == {("lr=5x", "plain"), ("batch",), ("dropout=0.3", "dropout=0.5")}
    assert plan["how"].str.startswith("stack of ").all()


def test_what_cannot_be_stacked_trains_alone_and_says_why(data: Callable[..., Data], net):
    class Moody(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = net()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x if x.sum() > 0 else -x)

    study = nw.compare(Moody, data("classes"), ["plain"], seeds=2, epochs=1, stack=2, workers=1)
    assert study.plan["how"].tolist() == ["alone"]
    assert "decides by the data" in study.plan["reason"][0]
    assert study.frame()["status"].tolist() == ["done", "done"]


def test_a_stack_that_fails_where_the_trial_did_not_trains_alone(
    compared, monkeypatch: pytest.MonkeyPatch
):
    alone = compared(stack=1, workers=1)
    stacked = Planner.stacked

    def refuse_one(planner: Planner, runs: Sequence[Run]) -> Stacked:
        if runs[0].seed > 0:
            raise NotStackable("these differ")
        return stacked(planner, runs)

    monkeypatch.setattr(Planner, "stacked", refuse_one)
    mixed = compared(stack=2, workers=1)
    columns = ["variant", "seed", "status", "steps"]
    assert mixed.frame()[columns].equals(alone.frame()[columns])
    last, same = mixed.frame().groupby("seed"), alone.frame().groupby("seed")
    assert last.get_group(2)["test_loss"].equals(same.get_group(2)["test_loss"])


@pytest.mark.parametrize("workers", [1, 2, None])
def test_a_network_that_fails_in_training_is_named(data: Callable[..., Data], net, workers):
    class Late(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.calls = net(), 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            if self.calls > 20:
                raise ValueError("tired")
            return self.inner(x)

    options = {"batch_size": 16, "stack": 1, "workers": workers}
    with pytest.raises(UsageError, match=r"failed in training: ValueError: tired"):
        nw.compare(Late, data("classes"), ["plain"], seeds=2, epochs=9, **options)


def test_progress_adds_up_to_all_steps(compared, monkeypatch: pytest.MonkeyPatch):
    from normwise.study import training

    told: list[object] = []
    original = training.Training.run

    def run(self, schedule: Schedule, receive) -> None:
        original(self, schedule, lambda message: (told.append(message), receive(message)))

    monkeypatch.setattr(training.Training, "run", run)
    study = compared(stack=2, workers=1)
    steps = sum(message.steps for message in told if isinstance(message, Advance))
    assert steps == study.frame()["steps"].sum()
    assert sum(isinstance(message, Record) for message in told) == len(study.frame())


def test_a_job_is_named_by_its_runs():
    from normwise.study.training import _doing

    assert _doing(Job((("batch", 4),), False, "").runs) == "batch, seed 4"
    assert _doing((("a", 0), ("b", 0), ("a", 1))) == "a, b: 3 runs"


def test_several_workers_are_refused_where_they_cannot_be(
    compared, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("normwise.stack.Processes.available", lambda: False)
    with pytest.raises(nw.UsageError, match="workers=2: this system cannot fork"):
        compared(workers=2)


def test_workers_are_for_the_cpu():
    problems = _worker_problems(2, torch.device("cuda"))
    assert problems == ["workers=2: on cuda, one process trains all runs; leave it out"]


@pytest.mark.parametrize("stack", [1, None])
def test_what_is_measured_leaves_no_trace(data, net, stack: int | None):
    def measure(network: nn.Module) -> dict[str, object]:
        assert not network.training
        first = network[0]
        norm = first.weight.detach().norm()
        first.weight.data.zero_()
        torch.manual_seed(3)
        network.train()
        return {"norm": norm, "two": 2}

    settings: dict = {"variants": ["plain", "batch+dropout=0.5"], "seeds": 3, "epochs": 2}
    settings |= {"batch_size": 16, "lr": 0.1, "stack": stack, "workers": 1}
    watched = nw.compare(net, data("classes"), **settings, measure=measure)
    alone = nw.compare(net, data("classes"), **settings)
    pd.testing.assert_frame_equal(watched.curves(), alone.curves(), rtol=1e-5)
    found = watched.measured()
    keys = ["variant", "seed", "step", "epoch"]
    pd.testing.assert_frame_equal(found[keys], watched.curves()[keys])
    assert list(found)[4:] == ["norm", "two"]
    assert (found["two"] == 2).all()
    for seed in range(3):
        torch.manual_seed(seed)
        expected = net()[0].weight.norm().item()
        start = found[(found["seed"] == seed) & (found["step"] == 0)]["norm"]
        assert start.tolist() == pytest.approx([expected, expected], rel=1e-6)
    assert alone.measured().empty


def test_a_measure_that_fails_is_told(data, net):
    with pytest.raises(nw.UsageError, match="KeyError"):
        nw.compare(net, data("classes"), seeds=1, epochs=1, measure=lambda network: {}["no"])
    with pytest.raises(nw.UsageError, match="measure='norm': give a function of a network"):
        nw.compare(net, data("classes"), measure="norm")
