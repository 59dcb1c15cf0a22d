"""Batch normalization makes training insensitive to the scale of the initial weights."""

from collections.abc import Callable

import pandas as pd
import torch
from torch import nn

from normwise import stats
from normwise.data import Data
from normwise.lab.budget import Budget
from normwise.lab.claim import Claim
from normwise.lab.reading import accuracies, bands, difference, estimate
from normwise.lab.result import Number, Result
from normwise.lab.settings import classic
from normwise.lab.verdicts import Verdict, above, below, both, either
from normwise.report import Lines
from normwise.study import Study, compare, mlp

_SCALES = (0.01, 0.1, 0.3, 1.0, 3.0, 10.0)
_LOSS = 0.05  # of accuracy, from which a scale matters
_CHANGE = "change from scale 1"


class BnInit(Claim):
    """Initial weights of a hundredth to ten times He's."""

    name = "bn-init"
    statement = (
        "Batch normalization makes training insensitive to the scale of the initial weights."
    )
    source = "Ioffe and Szegedy (2015), Batch Normalization, abstract and section 3.3"
    formula = (
        r"\mathrm{BN}\big((aW)u\big)=\mathrm{BN}(Wu), \quad "
        r"\frac{\partial\ell}{\partial(aW)}=\frac1a\,\frac{\partial\ell}{\partial W}: \qquad "
        r"\frac{\lVert\Delta(aW)\rVert}{\lVert aW\rVert}"
        r"=\frac{1}{a^2}\,\frac{\lVert\Delta W\rVert}{\lVert W\rVert}"
    )
    experiment = (
        "All weights of the lectures' perceptron are drawn from He's normal distribution and "
        f"multiplied by {', '.join(f'{scale:g}' for scale in _SCALES)}; biases start at zero. SGD "
        "with learning rate 0.01, plain and with batch norm."
    )
    measured = "The test accuracy at every scale, paired by seed with that at scale 1."
    refuted_by = f"A scale at which the network with batch norm is more than {_LOSS} less accurate."
    criterion = (
        "Holds where, with batch norm, the 95 % interval of the accuracy less that at scale 1 "
        f"lies above −{_LOSS} at every scale, and without it below −{_LOSS} at some scale; fails "
        f"where with batch norm it lies below −{_LOSS} at some scale, or without it above at "
        "every; inconclusive otherwise."
    )

    def run(self, seed: int, data: Data, budget: Budget) -> Result:
        """Train both networks from every scale."""
        setting = classic(seed, data, budget)
        studies = {
            scale: compare(_scaled(mlp(data), scale), data, ["plain", "batch"], **setting)
            for scale in _SCALES
        }
        accuracy = {scale: accuracies(study) for scale, study in studies.items()}
        numbers: list[Number] = []
        verdicts: dict[str, list[Verdict]] = {"plain": [], "batch": []}
        for scale in _SCALES:
            for variant in verdicts:
                of, found = f"scale {scale:g}", accuracy[scale][variant]
                numbers.append(estimate(f"test accuracy, {variant}", stats.bca(found), of=of))
                if scale != 1:
                    change = stats.paired(found, accuracy[1.0][variant])
                    numbers.append(difference(f"{_CHANGE}, {variant}", change, of=of))
                    judge = above if variant == "batch" else below
                    verdicts[variant].append(judge(change.low, change.high, -_LOSS))
        verdict = both(*verdicts["batch"], either(*verdicts["plain"]))
        figures = [_accuracy_figure(numbers), _loss_figure(studies)]
        return self.result(verdict, numbers, figures, _notes(numbers))


def _scaled(make: Callable[[], nn.Module], scale: float) -> Callable[[], nn.Module]:
    """Return a factory of the same network with He's initial weights times a factor."""

    def network() -> nn.Module:
        made = make()
        with torch.no_grad():
            for parameter in made.parameters():
                if parameter.ndim > 1:
                    nn.init.kaiming_normal_(parameter, nonlinearity="relu").mul_(scale)
                else:
                    parameter.zero_()
        return made

    return network


def _notes(numbers: list[Number]) -> list[str]:
    """Name the scales at which batch norm does not help enough, and why."""
    lost = [
        f"{each.estimate:+.3f} at {each.of}"
        for each in numbers
        if each.what == f"{_CHANGE}, batch" and each.high < -_LOSS
    ]
    if not lost:
        return []
    return [
        f"With batch norm the accuracy changes by {' and '.join(lost)}. What a normalised layer "
        "computes does not depend on the scale a of its weights, but a step of SGD moves them by "
        "1/a² of what it moves them at scale 1, in proportion: large weights hardly learn. The "
        "last layer has no norm behind it, and its scale is that of the logits."
    ]


def _accuracy_figure(numbers: list[Number]) -> Lines:
    table = pd.DataFrame(
        [
            (
                each.what.split(", ")[1],
                float(each.of.split()[1]),
                each.estimate,
                each.low,
                each.high,
            )
            for each in numbers
            if each.what.startswith("test accuracy")
        ],
        columns=pd.Index(["series", "x", "y", "low", "high"]),
    )
    return Lines(
        "Test accuracy by the scale of the initial weights",
        "Mean over the seeds, with its 95 % interval. Scale 1 is He's initialization.",
        "scale of the initial weights",
        "accuracy",
        table,
        baseline="plain",
        log="x",
    )


def _loss_figure(studies: dict[float, Study]) -> Lines:
    shown = (_SCALES[0], 1.0, _SCALES[-1])
    tables = [
        bands(studies[scale].curves(), "val_loss").assign(panel=f"scale {scale:g}")
        for scale in shown
    ]
    return Lines(
        "Validation loss from small, He's and large initial weights",
        "Mean over the seeds, with its 95 % interval.",
        "step",
        "validation loss (nats)",
        pd.concat(tables),
        baseline="plain",
        log="y",
    )
