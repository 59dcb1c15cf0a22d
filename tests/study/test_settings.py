import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from normwise.data import Data, Head, Noise, Split
from normwise.errors import UsageError
from normwise.stack import Budget, Own, Penalty, Recipe, Schedule
from normwise.study.settings import Settings, read_seeds
from normwise.study.variants import parse_variants

SPLIT = Split(torch.zeros(4, 2), torch.tensor([0, 1, 2, 0]))
CLASSES = Data("made", SPLIT, SPLIT, SPLIT, "classes", 3)
REGRESSION = replace(CLASSES, task="regression", classes=None)
HEADS = replace(
    CLASSES, task="heads", heads={"kind": Head("classes", 3), "size": Head("regression")}
)

GOOD = Settings(5, 64, Recipe(), {}, None, None, None, None)


def test_the_defaults_of_compare_are_fine():
    assert GOOD.problems(CLASSES) == GOOD.problems(REGRESSION) == GOOD.problems(None) == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"epochs": 0}, "epochs=0: a whole number, 1 or more, is needed"),
        ({"epochs": 2.5}, "epochs=2.5: a whole number"),
        ({"batch_size": True}, "batch_size=True: a whole number"),
        ({"batch_size": "64"}, "batch_size='64': a whole number"),
        ({"evaluate_every": -3}, "evaluate_every=-3: a whole number"),
        ({"loss": "mse"}, "unknown loss 'mse'"),
        ({"loss": "hubr_loss"}, "did you mean 'huber_loss'?"),
        ({"loss": 3}, "loss=3: give a function of output and target, or its name"),
        ({"order": "shufled"}, "unknown order 'shufled' (did you mean 'shuffled'?)"),
        ({"target": 1.2}, "target=1.2: no run can reach it, since accuracy lies in (0, 1]"),
        ({"target": 0.0}, "target=0.0: no run"),
        ({"target": float("nan")}, "target=nan: no run"),
        ({"target": "0.9"}, "target='0.9': no run"),
        ({"margin": 0}, "margin=0: the difference that does not matter is positive"),
        ({"margin": float("inf")}, "margin=inf"),
        ({"recipe": Recipe("SGD")}, "unknown optimizer 'SGD' (did you mean 'sgd'?)"),
        ({"recipe": Recipe("lion")}, "use one of sgd, adam, adamw"),
        ({"recipe": Recipe("sgd", 0.0)}, "lr=0.0: a learning rate is a positive number"),
        ({"recipe": Recipe("sgd", "0.1")}, "lr='0.1': a learning rate is a positive number"),
        ({"recipe": Recipe("sgd", float("nan"))}, "lr=nan"),
        ({"recipe": Recipe("sgd", 0.1, 1.0)}, "momentum=1.0: it is a number in [0, 1)"),
        ({"recipe": Recipe("sgd", 0.1, None)}, "momentum=None: it is a number in [0, 1)"),
        ({"recipe": Recipe("sgd", 0.1, 0.0, True)}, "nesterov needs momentum"),
        ({"recipe": Recipe("adam", 0.1, 0.9)}, "momentum is a setting of sgd, and optimizer=adam"),
        ({"recipe": Recipe("adamw", 0.1, 0.0, True)}, "momentum is a setting of sgd"),
        ({"recipe": Recipe("sgd", 0.1, weight_decay=-1e-4)}, "weight_decay=-0.0001"),
    ],
)
def test_one_mistake_is_one_problem(changes: dict, told: str):
    [problem] = replace(GOOD, **changes).problems(CLASSES)
    assert told in problem


def test_all_mistakes_come_at_once():
    settings = Settings(0, 0, Recipe("sdg", -1.0, 2.0, False, -1.0), {}, "mse", 0, 2.0, -1.0)
    assert len(settings.problems(CLASSES)) == 10


def test_a_regression_has_targets_up_to_1_and_below_0():
    assert replace(GOOD, target=-0.5).problems(REGRESSION) == []
    assert "R² is at most 1" in replace(GOOD, target=1.01).problems(REGRESSION)[0]


def test_only_classes_can_be_sorted():
    asked = replace(GOOD, order="sorted")
    assert asked.problems(CLASSES) == asked.problems(None) == []
    for data in (REGRESSION, HEADS):
        assert "it needs one label each" in asked.problems(data)[0]
    assert asked.identity()["order"] == "sorted"


def test_a_batch_is_at_most_the_training_split(data: Callable[..., Data]):
    loaded = data("classes")
    train = len(loaded.train)
    assert replace(GOOD, batch_size=10**6, evaluate_every=1).budget(loaded) == Budget(
        5, train, 1, 1
    )
    assert replace(GOOD, batch_size=10, evaluate_every=10**6).budget(loaded) == Budget(
        5 * (train // 10), 10, 5 * (train // 10), train // 10
    )


@pytest.mark.parametrize("epochs", [1, 2, 3, 7, 20, 100, 1000])
@pytest.mark.parametrize("batch_size", [1, 7, 32, 76])
def test_evaluations_are_8_to_50_and_cheap(epochs: int, batch_size: int, data):
    loaded = data("classes")
    budget = replace(GOOD, epochs=epochs, batch_size=batch_size).budget(loaded)
    evaluations = sum(budget.is_evaluation(step) for step in range(1, budget.steps + 1))
    assert min(budget.steps, 5) <= evaluations <= 50
    if evaluations > 8:  # more are made only where they cost little
        evaluated = evaluations * len(loaded.val)
        assert evaluated <= 0.2 * budget.steps * budget.batch_size + 2 * len(loaded.val)


@pytest.mark.parametrize(
    ("seeds", "meant"),
    [
        (3, [0, 1, 2]),
        ([4, 2], [4, 2]),
        (range(5, 7), [5, 6]),
        ((s for s in (1, 0)), [1, 0]),
        (np.arange(3), [0, 1, 2]),
        (np.int64(2), [0, 1]),
        ([2**63 - 1], [2**63 - 1]),
    ],
)
def test_seeds_are_counted_or_listed(seeds, meant: list[int]):
    read, wrong = read_seeds(seeds)
    assert read == meant
    assert all(type(seed) is int for seed in read)
    assert not wrong


@pytest.mark.parametrize(
    ("seeds", "told"),
    [
        (0, "seeds=0: a study needs at least one seed"),
        (-2, "seeds=-2: a study needs at least one seed"),
        ([], "seeds is empty"),
        (True, "seeds=True: give a number of seeds"),
        (2.0, "seeds=2.0: give a number of seeds, or a list of them"),
        ("3", "seeds='3': give a number of seeds"),
        (None, "seeds=None"),
        ([0, 1.5], "seeds holds 1.5: a seed is a whole number"),
        ([0, -1], "seeds holds -1"),
        ([2**63], "from 0 to 2**63 - 1"),
        ([1, 2, 1], "seeds holds a seed twice"),
    ],
)
def test_what_are_no_seeds(seeds, told: str):
    read, [problem] = read_seeds(seeds)
    assert read == []
    assert told in problem


def test_the_identity_names_what_numbers_depend_on():
    def huber(output, target):
        return (output - target).abs().mean()

    options = {"clip": 0.5, "schedule": None}
    identity = replace(GOOD, loss=huber, target=0.5, margin=0.1, options=options).identity()
    assert identity == {
        "epochs": 5,
        "batch_size": 64,
        "optimizer": "sgd",
        "lr": 0.01,
        "momentum": 0.0,
        "nesterov": False,
        "weight_decay": None,
        "clip": 0.5,
        "loss": huber.__qualname__,
        "evaluate_every": None,
    }


def recipe_for(variant: str, loaded: Data, **options: object) -> Recipe:
    [parsed] = parse_variants([variant])
    settings = replace(GOOD, epochs=6, batch_size=8, options=options)
    return settings.recipe_for(parsed, loaded)


def test_a_variants_own_words_go_before_the_studys(data: Callable[..., Data]):
    loaded = data("classes")
    epoch = len(loaded.train) // 8
    study = {"schedule": "cosine", "warmup": 1, "clip": 2.0}
    assert recipe_for("batch+lr=2x", loaded, **study) == Recipe(
        lr=0.02, clip=2.0, schedule=Schedule("cosine", 6 * epoch, warmup=epoch)
    )
    own = recipe_for("schedule=step=2+clip=1+wd=0.5+smooth=0.1", loaded, **study)
    assert own == Recipe(
        wd=Penalty(0.5),
        clip=1.0,
        label_smoothing=0.1,
        schedule=Schedule("step", 6 * epoch, every=2 * epoch, warmup=epoch),
    )
    assert recipe_for("schedule=constant+warmup=0", loaded, **study).schedule.is_constant
    for kind in ("onecycle", "cyclic"):  # which refuse a warm-up, but not to be without one
        for text in (f"schedule={kind}+warmup=0", f"warmup=0+schedule={kind}"):
            assert recipe_for(text, loaded, **study).schedule.warmup == 0


def test_schedules_by_default_fit_the_training(data: Callable[..., Data]):
    loaded = data("classes")
    epoch = len(loaded.train) // 8
    steps = 6 * epoch
    expected = {
        "step": Schedule("step", steps, every=round(steps / 3)),
        "exponential": Schedule("exponential", steps, every=epoch, factor=0.01 ** (1 / 6)),
        "exponential=0.5": Schedule("exponential", steps, every=epoch, factor=0.5),
        "plateau": Schedule("plateau", steps),
        "plateau=3": Schedule("plateau", steps, patience=3),
        "cyclic": Schedule("cyclic", steps, every=round(steps / 8)),
        "cyclic=0.5": Schedule("cyclic", steps, every=-(-epoch // 2)),
        "onecycle": Schedule("onecycle", steps),
    }
    for text, schedule in expected.items():
        assert recipe_for(f"schedule={text}", loaded).schedule == schedule


def test_schedules_count_the_steps_of_the_optimizer(data: Callable[..., Data]):
    loaded = data("classes")
    epoch = len(loaded.train) // 8
    for order in ("accumulate=3+schedule=cosine+warmup=1", "schedule=cosine+warmup=1+accumulate=3"):
        recipe = recipe_for(order, loaded)
        assert recipe.accumulate == 3
        assert recipe.schedule == Schedule("cosine", 6 * epoch // 3, warmup=-(-epoch // 3))
    steps = recipe_for("schedule=step=2", loaded, accumulate=2).schedule
    assert steps == Schedule("step", 6 * epoch // 2, every=-(-2 * epoch // 2))
    falls = recipe_for("schedule=exponential=0.5", loaded, accumulate=epoch).schedule
    assert falls == Schedule("exponential", 6, every=1, factor=0.5)


@pytest.mark.parametrize(
    ("variant", "options", "told"),
    [
        ("accumulate=10", {}, "accumulate=10: more batches than an epoch has, which are 9"),
        ("warmup=6", {"accumulate": 2}, "warmup=6: 6 epochs are no less than the whole training"),
        ("warmup=6", {}, "warmup=6: 6 epochs are no less than the whole training, which has 6"),
        ("schedule=step=7", {}, "schedule=step=7: 7 epochs are no less than the whole"),
        ("schedule=cyclic", {"warmup": 1}, "schedule=cyclic begins with a rise of its own"),
        ("warmup=1", {"schedule": "onecycle"}, "schedule=onecycle begins with a rise of its own"),
    ],
)
def test_words_that_clash(variant: str, options: dict, told: str, data: Callable[..., Data]):
    with pytest.raises(UsageError, match=re.escape(told)):
        recipe_for(variant, data("classes"), **options)


def test_options_are_checked_with_everything_else():
    options = {"schedule": "cosin", "warmup": -1, "clip": 0, "smooth": 1, "aug": "nois:1"}
    problems = replace(GOOD, options=options).problems(CLASSES)
    assert len(problems) == 5
    assert "did you mean 'cosine'?" in problems[0]
    [problem] = replace(GOOD, options={"smooth": 0.1}).problems(REGRESSION)
    assert "only cross-entropy smooths its labels" in problem
    [problem] = replace(GOOD, options={"entropy": 0.1}).problems(REGRESSION)
    assert "only predicted classes have an entropy" in problem


def test_all_contradictions_of_a_variant_come_at_once(data: Callable[..., Data]):
    with pytest.raises(UsageError) as caught:
        recipe_for("entropy=0.1+aug=rotate:9/noise:1+accumulate=99+warmup=7", data("regression"))
    told = caught.value.problems
    assert [problem.partition(":")[0] for problem in told] == [
        "accumulate=99",
        "warmup=7",
        "entropy=0.1",
        "aug=rotate",
    ]


def test_an_augmentation_of_the_users_own(data: Callable[..., Data]):
    def flip(x, generator):
        return x

    loaded, options = data("classes"), {"aug": flip}
    assert recipe_for("batch", loaded, **options).augment == (Own(flip),)
    assert recipe_for("aug=none", loaded, **options).augment == ()
    assert recipe_for("aug=noise:1", loaded, **options).augment == (Noise(1.0),)
    assert replace(GOOD, options=options).identity()["aug"] == flip.__qualname__
