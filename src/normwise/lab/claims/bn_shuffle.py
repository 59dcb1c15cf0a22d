"""Batches must be shuffled anew for batch normalization."""

from dataclasses import replace

import numpy as np
import pandas as pd

from normwise import stats
from normwise.data import Data
from normwise.lab.budget import Budget
from normwise.lab.claim import Claim
from normwise.lab.reading import accuracies, bands, difference, estimate, rows
from normwise.lab.result import Number, Result
from normwise.lab.settings import classic
from normwise.lab.verdicts import below, both
from normwise.report import Dots, Lines
from normwise.study import Study, compare

_VARIANTS = ("batch", "plain")
_ORDERS = ("shuffled", "fixed", "sorted")
_EPOCHS = 2  # as many as in the classic setting: what fixed batches do takes time
_RATE = 5  # times the classic learning rate
_MARGIN = 0.005  # of accuracy, that does not matter


class BnShuffle(Claim):
    """Batches that are shuffled anew, that stay, and that hold a class or two."""

    name = "bn-shuffle"
    statement = (
        "With batch normalization the batches must be shuffled anew in every epoch: it learns "
        "less from batches that stay the same, and breaks on batches sorted by class."
    )
    source = "Ioffe and Szegedy (2015), Batch Normalization, section 4.2.1"
    experiment = (
        "The perceptron of the lectures is trained at learning rate 0.05, plain and with batch "
        "norm, from the same initial weights on the same samples: in batches drawn anew for every "
        "epoch, in the first epoch's batches throughout, and in batches of samples sorted by "
        "class. The turn of the batches is drawn anew in all three."
    )
    measured = "The test accuracy, paired by seed with that of shuffled batches."
    refuted_by = (
        "As much accuracy from fixed batches, or no more lost to sorting than without batch norm."
    )
    criterion = (
        "Holds where the 95 % interval of batch norm's paired difference in test accuracy, fixed "
        "− shuffled, lies below zero, and where sorting costs it more than the plain network: the "
        "interval of the difference of their differences lies below zero. Fails where the first "
        f"lies above −{_MARGIN}, or the second above zero; inconclusive otherwise."
    )

    def run(self, seed: int, data: Data, budget: Budget) -> Result:
        """Train both networks in every order."""
        setting = classic(seed, data, budget)
        setting["epochs"] *= _EPOCHS
        setting["lr"] *= _RATE
        whole = _whole_batches(data, setting["batch_size"])
        studies = {
            order: compare(None, whole, ["plain", "batch"], order=order, **setting)
            for order in _ORDERS
        }
        accuracy = {order: accuracies(study) for order, study in studies.items()}
        changes = {
            (variant, order): (accuracy[order][variant], accuracy["shuffled"][variant])
            for variant in _VARIANTS
            for order in _ORDERS[1:]
        }
        found = {which: stats.paired(*pair) for which, pair in changes.items()}
        fixed = found["batch", "fixed"]
        batch, plain = (np.subtract(*changes[variant, "sorted"]) for variant in _VARIANTS)
        sorting = stats.paired(batch, plain)
        numbers = [
            difference(f"change of accuracy, {order}", change, of=variant)
            for (variant, order), change in found.items()
        ]
        numbers.append(difference("change of accuracy, sorted", sorting, of="batch − plain"))
        numbers += [
            estimate(f"test accuracy, {order}", stats.bca(accuracy[order][variant]), of=variant)
            for variant in _VARIANTS
            for order in _ORDERS
        ]
        first = "fails" if fixed.low > -_MARGIN else below(fixed.low, fixed.high, 0)
        verdict = both(first, below(sorting.low, sorting.high, 0))
        return self.result(verdict, numbers, [_curves(studies), _dots(numbers)], _notes(fixed))


def _whole_batches(data: Data, batch_size: int) -> Data:
    """Leave out the samples behind the last full batch, which only shuffling would ever use."""
    used = len(data.train) // batch_size * batch_size
    return replace(data, train=data.train[:used])


def _notes(fixed: stats.Paired) -> list[str]:
    """Say what fixed batches do, where they do no harm that could be seen."""
    if fixed.high < -_MARGIN:
        return []
    return [
        f"Fixed batches change the accuracy with batch norm by {fixed.difference:+.4f}: in a "
        "training so short the company of a sample is hardly learnt. The paper speaks of 1 % "
        "after millions of steps on ImageNet. What breaks batch norm is a batch that is unlike "
        "the data."
    ]


def _curves(studies: dict[str, Study]) -> Lines:
    tables = [
        bands(study.curves(), "val_acc").assign(panel=f"{order} batches")
        for order, study in studies.items()
    ]
    return Lines(
        "Validation accuracy by what meets in a batch",
        "Mean over the seeds, with its 95 % interval. Sorted batches hold a class or two each: "
        "the running statistics are then those of no batch that the network was trained on.",
        "step",
        "accuracy",
        pd.concat(tables),
        baseline="plain",
    )


def _dots(numbers: list[Number]) -> Dots:
    tables = [
        rows(numbers, f"test accuracy, {order}").assign(series=lambda t: t["row"], row=order)
        for order in _ORDERS
    ]
    return Dots(
        "Test accuracy by what meets in a batch",
        "Mean over the seeds, with its 95 % interval.",
        "test accuracy",
        pd.concat(tables, ignore_index=True),
        baseline="plain",
    )
