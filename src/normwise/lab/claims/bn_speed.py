"""Batch normalization trains much faster."""

import numpy as np

from normwise import stats
from normwise.data import Data
from normwise.lab.budget import Budget
from normwise.lab.claim import Claim
from normwise.lab.reading import arrivals, bands, difference, estimate, per_seed
from normwise.lab.result import Number, Result
from normwise.lab.settings import classic
from normwise.lab.verdicts import below, both
from normwise.report import Lines
from normwise.study import Study, compare

_MUCH = 0.5  # of the steps that the plain network needs


class BnSpeed(Claim):
    """Loss and steps to a target, with and without batch norm."""

    name = "bn-speed"
    statement = "Batch normalization lowers the training loss much faster."
    source = "Ioffe and Szegedy (2015), Batch Normalization, section 4.2.1 and figure 2"
    formula = r"\hat x = \frac{x-\mu}{\sqrt{\sigma^2+\varepsilon}}, \qquad y = \gamma\hat x+\beta"
    experiment = (
        "A perceptron with hidden layers of 48 and 24 ReLU units is trained by SGD with learning "
        "rate 0.01, plain and with batch norm before each ReLU, from the same initial weights on "
        "the same batches: two epochs with batches of 512 on MNIST, as many steps with batches of "
        "64 on small data."
    )
    measured = (
        "The training loss at the end, and the steps until the validation accuracy first reaches "
        "the best that the plain network ever does (the median over seeds)."
    )
    refuted_by = "A training loss that ends no lower, or as many steps as without."
    criterion = (
        "Holds where the 95 % interval of the paired difference in training loss lies below zero "
        f"and that of the ratio of median steps below {_MUCH}; fails where one of them lies above; "
        "inconclusive otherwise."
    )

    def run(self, seed: int, data: Data, budget: Budget) -> Result:
        """Train both networks with every seed."""
        study = compare(
            None, data, ["plain", "batch"], evaluate_every=5, **classic(seed, data, budget)
        )
        loss = per_seed(study, "train_loss")
        gain = stats.paired(loss["batch"], loss["plain"], higher_is_better=False)
        steps = arrivals(study)
        ratio = stats.bca_ratio(steps["batch"], steps["plain"])
        wins = int(np.sum(loss["batch"] < loss["plain"]))
        return self.result(
            both(below(gain.low, gain.high, 0), below(ratio.low, ratio.high, _MUCH)),
            [
                difference("difference in training loss, batch − plain", gain, "nats"),
                estimate("steps to plain's best accuracy, batch / plain", ratio),
                Number("seeds in which batch norm has the lower loss", wins, unit="seeds"),
            ],
            [_loss_figure(study), _accuracy_figure(study)],
        )


def _loss_figure(study: Study) -> Lines:
    return Lines(
        "Training loss",
        "Mean over the seeds, with the pointwise 95 % interval of that mean.",
        "step",
        "training loss (nats)",
        bands(study.curves(), "train_loss"),
        baseline="plain",
    )


def _accuracy_figure(study: Study) -> Lines:
    return Lines(
        "Validation accuracy",
        "Mean over the seeds, with its interval. The dashed line is the best that the plain "
        "network reaches (median over seeds): the steps are counted up to there.",
        "step",
        "accuracy",
        bands(study.curves(), "val_acc"),
        baseline="plain",
        level=study.target,
        level_label="plain's best",
    )
