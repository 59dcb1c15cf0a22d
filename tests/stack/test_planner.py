"""The plan: never slower than the loop, never more than fits, everybody exactly once."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from normwise.data import Noise
from normwise.stack import Budget, NotStackable, Objective, Penalty, Planner, Recipe, Run, Stacked
from normwise.stack.planner import _free_memory

SGD, ADAM = Recipe("sgd", lr=0.1), Recipe("adam", lr=0.1)
MODULE = "normwise.stack.planner"


def runs_of(count: int, recipe: Recipe = SGD, architecture: str = "a") -> list[Run]:
    return [Run(lambda: nn.Linear(6, 3), recipe, seed, architecture) for seed in range(count)]


class World:
    """A machine where a step of a run alone takes `loop` seconds, in a stack `stacked(size)`."""

    def __init__(
        self,
        patch: pytest.MonkeyPatch,
        loop: float = 1.0,
        stacked: Any = lambda size: 0.1,
        cores: int = 1,
        free: float = 1e12,
        run_bytes: float = 1.0,
        refusal: str | None = None,
    ) -> None:
        self.tried: list[int] = []

        def make(planner: Planner, runs: Sequence[Run]) -> SimpleNamespace:
            if refusal:
                raise NotStackable(refusal)
            self.tried.append(len(runs))
            return SimpleNamespace(size=len(runs), memory=run_bytes * len(runs), kind="stack")

        def seconds(planner: Planner, stack: SimpleNamespace) -> float:
            return stack.size * stacked(stack.size) if stack.kind == "stack" else loop

        patch.setattr(Planner, "alone", lambda planner, run: SimpleNamespace(size=1, kind="loop"))
        patch.setattr(Planner, "stacked", make)
        patch.setattr(Planner, "_time", seconds)
        patch.setattr(f"{MODULE}._free_memory", lambda device: int(free))
        patch.setattr(f"{MODULE}.joblib.cpu_count", lambda: cores)


@pytest.fixture
def plan(tools: Any) -> Any:
    data = tools.make_data()

    def make(runs: Sequence[Run], steps: int = 1000, **asked: Any) -> Any:
        return Planner(data, Objective("classes"), Budget(steps, 16, 100), **asked).plan(runs)

    return make


def everybody(shares: Any) -> list[int]:
    return sorted(run for share in shares for run in share.runs)


def test_a_faster_stack_is_used(plan: Any, monkeypatch: pytest.MonkeyPatch):
    World(monkeypatch)
    workers, [share] = plan(runs_of(10))
    assert (workers, share.stacked, share.runs) == (1, True, tuple(range(10)))
    assert "100.000 ms in a stack of 10, 1000.000 ms in the plain loop" in share.reason


@pytest.mark.parametrize("seconds", [0.96, 1.0, 5.0])
def test_a_stack_that_gains_nothing_is_not(
    seconds: float, plan: Any, monkeypatch: pytest.MonkeyPatch
):
    world = World(monkeypatch, stacked=lambda size: seconds)
    _, shares = plan(runs_of(30))
    assert not any(share.stacked for share in shares)
    assert everybody(shares) == list(range(30))
    assert world.tried == [30, 16, 4]
    assert "30" in shares[0].reason
    assert "plain loop" in shares[0].reason


def test_a_smaller_stack_may_be_faster(plan: Any, monkeypatch: pytest.MonkeyPatch):
    World(monkeypatch, stacked=lambda size: 0.5 if size <= 16 else 2.0)
    _, shares = plan(runs_of(50))
    assert all(share.stacked and len(share.runs) <= 16 for share in shares)
    assert everybody(shares) == list(range(50))


def test_a_small_study_is_not_worth_a_trial(plan: Any, monkeypatch: pytest.MonkeyPatch):
    world = World(monkeypatch, loop=1e-4)
    workers, shares = plan(runs_of(10), steps=100)
    assert workers == 1
    assert not any(share.stacked for share in shares)
    assert "0.1 s" in shares[0].reason
    assert not world.tried


def test_every_core_gets_a_worker_where_it_pays(plan: Any, monkeypatch: pytest.MonkeyPatch):
    World(monkeypatch, cores=4)
    workers, shares = plan(runs_of(20))
    assert workers == 4
    assert [len(share.runs) for share in shares] == [5] * 4
    assert plan(runs_of(2))[0] == 2
    assert plan(runs_of(20), steps=0)[0] == 1


def test_whole_groups_are_not_divided(plan: Any, monkeypatch: pytest.MonkeyPatch):
    World(monkeypatch, cores=2)
    runs = [*runs_of(6), *runs_of(6, architecture="b"), *runs_of(6, architecture="c")]
    _, shares = plan(runs)
    assert sorted(len(share.runs) for share in shares) == [3, 3, 6, 6]


def test_kinds_of_recipes_do_not_share_a_stack(plan: Any, monkeypatch: pytest.MonkeyPatch):
    World(monkeypatch)
    recipes = [
        Recipe("sgd", l2=Penalty(0.1), entropy=0.1),
        Recipe("sgd", augment=(Noise(0.1),), clip=1.0),
        Recipe("sgd", accumulate=2),
        Recipe("sgd", precision="bf16"),
        Recipe("adam"),
    ]
    _, shares = plan([run for recipe in recipes for run in runs_of(3, recipe)])
    assert [share.runs for share in shares] == [
        tuple(range(6)),
        *((place, place + 1, place + 2) for place in (6, 9, 12)),
    ]


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_asked_for(workers: int, plan: Any, monkeypatch: pytest.MonkeyPatch):
    World(monkeypatch, cores=8)
    assert plan(runs_of(12), workers=workers)[0] == workers


def test_a_stack_asked_for(plan: Any, monkeypatch: pytest.MonkeyPatch):
    World(monkeypatch, stacked=lambda size: 100.0)  # even where it is slower
    _, shares = plan(runs_of(10), stack=4)
    assert sorted(len(share.runs) for share in shares) == [3, 3, 4]
    assert {(share.stacked, share.reason) for share in shares} == {(True, "asked for")}
    _, shares = plan(runs_of(10), stack=1)
    assert {(share.stacked, share.reason) for share in shares} == {(False, "asked for")}


@pytest.mark.parametrize("asked", [None, 20])
def test_a_stack_that_does_not_fit_is_split(
    asked: int | None, plan: Any, monkeypatch: pytest.MonkeyPatch
):
    World(monkeypatch, free=100, run_bytes=10)
    _, shares = plan(runs_of(20), stack=asked)
    assert everybody(shares) == list(range(20))
    assert all(share.stacked and 10 * len(share.runs) <= 50 for share in shares)


def test_what_cannot_be_stacked_takes_the_loop_and_says_why(
    plan: Any, monkeypatch: pytest.MonkeyPatch
):
    World(monkeypatch, refusal="the forward draws random numbers of its own")
    _, shares = plan(runs_of(3))
    assert [(share.runs, share.stacked) for share in shares] == [((r,), False) for r in range(3)]
    assert {share.reason for share in shares} == {"the forward draws random numbers of its own"}


@given(data=st.data())
def test_every_run_is_in_one_share(data: st.DataObject, plan_of_runs: Any):
    kinds = st.tuples(st.sampled_from("ab"), st.sampled_from([SGD, ADAM, Recipe("sgd", lr=0.2)]))
    chosen = data.draw(st.lists(kinds, max_size=40))
    runs = [Run(nn.Identity, r, seed, a) for seed, (a, r) in enumerate(chosen)]
    world = {
        "loop": data.draw(st.sampled_from([1e-6, 1.0])),
        "cores": data.draw(st.integers(1, 4)),
        "free": data.draw(st.sampled_from([10, 100, 1e12])),
        "run_bytes": 5.0,
        "refusal": data.draw(st.sampled_from([None, "no"])),
    }
    fast = data.draw(st.integers(0, 40))
    asked = {
        "workers": data.draw(st.sampled_from([None, 1, 3])),
        "stack": data.draw(st.sampled_from([None, 1, 2, 7])),
    }
    with pytest.MonkeyPatch.context() as patch:
        World(patch, stacked=lambda size: 0.1 if size <= fast else 2.0, **world)
        workers, shares = plan_of_runs(runs, **asked)
    assert workers >= 1
    assert everybody(shares) == list(range(len(runs)))
    for share in shares:
        together = {(runs[run].architecture, runs[run].recipe.optimizer) for run in share.runs}
        assert len(together) == 1
        assert share.stacked or len(share.runs) == 1
        assert share.reason
        if asked["stack"]:
            assert len(share.runs) <= asked["stack"]


@pytest.fixture(scope="session")
def plan_of_runs(tools: Any) -> Any:
    data = tools.make_data()
    return lambda runs, **asked: Planner(
        data, Objective("classes"), Budget(1000, 16, 100), **asked
    ).plan(runs)


class Branching(nn.Module):
    """Its forward depends on the data."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) if x.sum() > 0 else -self.layer(x)


def test_real_networks(tools: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(f"{MODULE}._TRIAL_SECONDS", 0.0)
    data = tools.make_data()
    planner = Planner(data, Objective("classes"), Budget(100, 16, 50), workers=1, stack=3)
    build = {"linear": lambda: nn.Linear(6, 3).double(), "branching": lambda: Branching().double()}
    runs = [Run(build[kind], SGD, seed, kind) for kind in build for seed in range(3)]
    workers, shares = planner.plan(runs)
    assert workers == 1
    assert [(s.stacked, s.runs) for s in shares] == [
        (True, (0, 1, 2)),
        *((False, (run,)) for run in (3, 4, 5)),
    ]
    assert "decides by the data" in shares[1].reason
    assert isinstance(planner.stacked(runs[:3]), Stacked)
    assert shares[0].reason == "asked for"


@pytest.mark.parametrize(
    ("steps", "workers", "stacked"),
    # Ten runs at 1 ms a step: recording takes 0.1 s, and eight steps of all runs 0.08 s.
    [(100, 1, False), (119, 1, False), (121, 1, True), (180, 2, False), (190, 2, True)],
)
def test_a_trial_takes_a_small_share_of_the_loop(
    steps: int, workers: int, stacked: bool, plan: Any, monkeypatch: pytest.MonkeyPatch
):
    world = World(monkeypatch, loop=1e-3, stacked=lambda size: 1e-4, cores=workers)
    _, shares = plan(runs_of(10), steps=steps)
    assert {share.stacked for share in shares} == {stacked}
    assert bool(world.tried) == stacked
    if not stacked:
        assert f"needs only {steps / 100:.1f} s" in shares[0].reason


def test_recording_takes_some_tenths_of_a_second_at_most(
    plan: Any, monkeypatch: pytest.MonkeyPatch
):
    World(monkeypatch, loop=0.1, stacked=lambda size: 0.01)
    assert not plan(runs_of(2), steps=60)[1][0].stacked  # 0.3 s and 1.6 s, of 12 s
    assert plan(runs_of(2), steps=64)[1][0].stacked


def test_workers_share_the_memory(plan: Any, monkeypatch: pytest.MonkeyPatch):
    World(monkeypatch, cores=2, free=20, run_bytes=1)
    assert {len(share.runs) for share in plan(runs_of(20), workers=1)[1]} == {10}
    assert {len(share.runs) for share in plan(runs_of(20), workers=2)[1]} == {5}


def test_memory_that_only_caches_files_counts_as_free():
    """A machine that has read much has little unused memory, and yet room for a stack."""
    found = _free_memory(torch.device("cpu"))
    assert found == pytest.approx(psutil.virtual_memory().available, rel=0.2)


def study(seeds: int, recipes: Sequence[Recipe]) -> list[Run]:
    """Every recipe with every seed, one seed after another, as studies list them."""
    return [
        Run(lambda: nn.Linear(6, 3), recipe, seed, "a")
        for seed in range(seeds)
        for recipe in recipes
    ]


@pytest.mark.parametrize(
    "recipes", [[SGD, Recipe("sgd", lr=0.2), Recipe("sgd", lr=0.3)], [SGD, SGD, SGD]]
)
def test_runs_of_one_seed_are_kept_together_to_share_batches(
    recipes: list[Recipe], plan: Any, monkeypatch: pytest.MonkeyPatch
):
    World(monkeypatch, cores=2)
    runs = study(4, recipes)
    workers, shares = plan(runs)
    assert workers == 2
    seeds = [[runs[run].seed for run in share.runs] for share in shares]
    assert sorted(seeds) == [[0, 1] * 3, [2, 3] * 3]
    for share in shares:
        assert [runs[run].recipe for run in share.runs] == [r for r in recipes for _ in range(2)]


def test_seeds_that_cannot_be_divided_evenly_are_not(plan: Any, monkeypatch: pytest.MonkeyPatch):
    World(monkeypatch, cores=2)
    runs = study(5, [SGD, Recipe("sgd", lr=0.2)])
    _, shares = plan(runs)
    assert sorted(len(share.runs) for share in shares) == [5, 5]
    assert everybody(shares) == list(range(10))
