"""Whether batch norm belongs before or after the nonlinearity."""

import pandas as pd

from normwise import stats
from normwise.data import Data
from normwise.lab.budget import Budget
from normwise.lab.claim import Claim
from normwise.lab.reading import accuracies, bands, difference, estimate, rows
from normwise.lab.result import Number, Result
from normwise.lab.settings import classic
from normwise.lab.verdicts import Verdict
from normwise.report import Dots, Lines
from normwise.study import Study, compare

_PLACES = {"before": "batch", "after": "batch:after"}
_ACTIVATIONS = ("relu", "tanh", "sigmoid")  # the first decides: it is what the paper uses
_MARGIN = 0.005  # of accuracy, that does not matter
_GAIN = "test accuracy, before − after"


class BnPlacement(Claim):
    """Batch norm before and after the nonlinearity."""

    name = "bn-placement"
    statement = "Batch normalization works better before the nonlinearity than after it."
    source = "Ioffe and Szegedy (2015), Batch Normalization, section 3.2"
    formula = (
        r"z = g(\mathrm{BN}(Wu)) \quad\text{(before)}, \qquad "
        r"z = \mathrm{BN}(g(Wu+b)) \quad\text{(after)}"
    )
    experiment = (
        "The perceptron of the lectures is trained with batch norm before each nonlinearity and "
        "with batch norm behind it, for ReLU, tanh and sigmoid, from the same initial weights on "
        "the same batches."
    )
    measured = "The test accuracy, paired by seed."
    refuted_by = f"A norm behind ReLU that is better, or less than {_MARGIN} worse."
    criterion = (
        "Holds where, with ReLU, the 95 % interval of the paired difference in test accuracy, "
        f"before − after, lies above zero; fails where it lies below {_MARGIN} otherwise, so that "
        "before is no better, or not so that it matters; inconclusive otherwise."
    )

    def run(self, seed: int, data: Data, budget: Budget) -> Result:
        """Train both placements with every nonlinearity."""
        names = {
            (activation, place): f"{norm}+act={activation}"
            for activation in _ACTIVATIONS
            for place, norm in _PLACES.items()
        }
        study = compare(None, data, list(names.values()), **classic(seed, data, budget))
        accuracy = accuracies(study)
        gains = {
            activation: stats.paired(
                accuracy[names[activation, "before"]], accuracy[names[activation, "after"]]
            )
            for activation in _ACTIVATIONS
        }
        numbers = [difference(_GAIN, gains[each], of=each) for each in _ACTIVATIONS]
        numbers += [
            estimate(f"test accuracy, {place}", stats.bca(accuracy[name]), of=activation)
            for (activation, place), name in names.items()
        ]
        verdict = _judged(gains[_ACTIVATIONS[0]])
        return self.result(
            verdict, numbers, [_losses(study, names), _dots(numbers)], _notes(verdict, numbers)
        )


def _judged(gain: stats.Paired) -> Verdict:
    if gain.low > 0:
        return "holds"
    return "fails" if gain.high < _MARGIN else "inconclusive"


def _notes(verdict: Verdict, numbers: list[Number]) -> list[str]:
    """Say why where it fails."""
    if verdict != "fails":
        return []
    gain = numbers[0]
    how = (
        f"is worse than behind it by {-gain.estimate:.4f}"
        if gain.high < 0
        else f"makes a difference of {gain.estimate:+.4f}, which does not matter"
    )
    return [
        f"Before {gain.of} batch norm {how}: behind the nonlinearity it gives the next layer "
        "inputs of mean 0 and variance 1, as standardised data give the first.",
        "The training is short, so that its accuracy tells of speed more than of what is best in "
        "the end.",
    ]


def _losses(study: Study, names: dict[tuple[str, str], str]) -> Lines:
    whose = {name: pair for pair, name in names.items()}
    table = bands(study.curves(), "train_loss")
    table["panel"] = [whose[name][0] for name in table["series"]]
    table["series"] = [whose[name][1] for name in table["series"]]
    return Lines(
        "Training loss, with batch norm before and after the nonlinearity",
        "Mean over the seeds, with its 95 % interval; a panel for each nonlinearity.",
        "step",
        "training loss (nats)",
        table,
        baseline="before",
    )


def _dots(numbers: list[Number]) -> Dots:
    tables = [rows(numbers, f"test accuracy, {place}").assign(series=place) for place in _PLACES]
    return Dots(
        "Test accuracy by placement",
        "Mean over the seeds, with its 95 % interval.",
        "test accuracy",
        pd.concat(tables, ignore_index=True),
        baseline="before",
    )
