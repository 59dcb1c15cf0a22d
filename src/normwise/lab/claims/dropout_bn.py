"""Dropout before batch normalization shifts the variance between training and inference."""

from collections.abc import Callable
from copy import deepcopy

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from normwise import stats
from normwise.data import Data
from normwise.edit import insert_dropout, insert_norm, recalibrate
from normwise.lab.budget import Budget
from normwise.lab.claim import Claim
from normwise.lab.reading import difference, estimate, finally_measured, rows
from normwise.lab.result import Number, Result
from normwise.lab.settings import classic
from normwise.lab.verdicts import above, below, both
from normwise.report import Dots
from normwise.study import compare, mlp

_WIDTH, _HIDDEN = 48, 3
_BEFORE, _UNIFORM, _BEHIND = "dropout=0.5", "uout=0.5", "dropout=0.5 behind the last norm"
_WORDS = ("dropout=0.2", _BEFORE, _UNIFORM)
_SHIFT = 0.1  # of the variance ratio, from which it matters
_RATIOS = [f"variance ratio, norm {place}" for place in range(1, _HIDDEN + 1)]
_ACCURACY, _GAIN = "accuracy", "gained by recalibration"


class DropoutBn(Claim):
    """The variance that a norm has learnt, over that which it meets in inference."""

    name = "dropout-bn"
    statement = (
        "Dropout before batch normalization shifts the variance between training and inference, "
        "and uniform noise (Uout) shifts it less."
    )
    source = (
        "Li, Chen, Hu and Yang (2019), Understanding the Disharmony between Dropout and Batch "
        "Normalization by Variance Shift, sections 3 and 4"
    )
    formula = (
        r"y=\sum_i w_i\,\frac{a_i}{1-p}\,x_i, \quad a_i\sim\mathrm{Bernoulli}(1-p): \qquad "
        r"\mathrm{Var}_\text{train}(y)=\mathrm{Var}_\text{test}(y)"
        r"+\frac{p}{1-p}\sum_i w_i^2\,\mathrm{E}[x_i^2]"
    )
    experiment = (
        f"A perceptron with {_HIDDEN} hidden layers of {_WIDTH} ReLU units and batch norm before "
        "each is trained by SGD at learning rate 0.05: without dropout, with dropout or uniform "
        "noise behind every ReLU (before the norms 2 and 3), and with dropout behind the last norm "
        "only."
    )
    measured = (
        "For every norm the variance that its running statistics hold, over the variance of what "
        "it sees in evaluation mode on the training split (nw.recalibrate): the geometric mean "
        "over units. And the validation accuracy with either."
    )
    refuted_by = (
        f"Norms behind dropout of 0.5 whose ratio exceeds that without by no more than {_SHIFT}, "
        "or uniform noise that shifts it as much."
    )
    criterion = (
        "Holds where, for the mean over the norms behind dropout, the 95 % interval of the paired "
        f"difference in variance ratio, p = 0.5 − none, lies above {_SHIFT}, and that of Uout − "
        "dropout, both at 0.5, below zero; fails where one lies on the other side; inconclusive "
        "otherwise."
    )

    def run(self, seed: int, data: Data, budget: Budget) -> Result:
        """Train all, and look at their norms at the end."""
        setting = classic(seed, data, budget)
        setting["lr"] *= 5
        make = mlp(data, (_WIDTH,) * _HIDDEN)
        study = compare(
            make,
            data,
            {
                "plain": "batch",
                **{word: f"batch+{word}" for word in _WORDS},
                _BEHIND: _dropout_behind_the_last_norm(make, data),
            },
            evaluate_every=10**6,
            measure=lambda network: shifts(network, data),
            **setting,
        )
        names = {"plain": "no dropout"} | {name: name for name in (*_WORDS, _BEHIND)}
        found = {column: finally_measured(study, column) for column in (*_RATIOS, _ACCURACY, _GAIN)}
        behind = {
            names[variant]: np.mean([found[ratio][variant] for ratio in _RATIOS[1:]], axis=0)
            for variant in names
        }
        shift = stats.paired(behind[_BEFORE], behind["no dropout"])
        less = stats.paired(behind[_UNIFORM], behind[_BEFORE])
        verdict = both(above(shift.low, shift.high, _SHIFT), below(less.low, less.high, 0))
        numbers = [
            estimate(column, stats.bca(found[column][variant]), of=name)
            for variant, name in names.items()
            for column in (*_RATIOS, _ACCURACY)
        ]
        gains = found[_GAIN]
        numbers += [
            difference(_GAIN, stats.paired(gains[variant], 0 * gains[variant]), of=name)
            for variant, name in names.items()
        ]
        numbers += [
            difference("variance ratio, norms 2 and 3", shift, of=f"{_BEFORE} − no dropout"),
            difference("variance ratio, norms 2 and 3", less, of=f"{_UNIFORM} − {_BEFORE}"),
        ]
        figures = [_ratio_figure(numbers), _gain_figure(numbers)]
        notes = [_note(stats.paired(gains[_BEFORE], 0 * gains[_BEFORE]))]
        return self.result(verdict, numbers, figures, notes)


def _note(gain: stats.Paired) -> str:
    """Say whether the shift matters."""
    told = (
        "With dropout of 0.5 the statistics of inference change the accuracy by "
        f"{gain.difference:+.4f}"
    )
    if gain.low > 0:
        return f"{told}: the shift costs accuracy."
    return f"{told}: the shift is there, and costs no accuracy that these seeds could show."


def shifts(network: nn.Module, data: Data) -> dict[str, float]:
    """Return the variance ratio of every norm, and the accuracy with both kinds of statistics."""
    exact = recalibrate(deepcopy(network), data.train.single.split(1024), progress=False)
    running, population = _variances(network), _variances(exact)
    ratios = {
        name: (ours.log() - theirs.log()).mean().exp().item()
        for name, ours, theirs in zip(_RATIOS, running, population, strict=True)
    }
    accuracy, other = _accuracy(network, data), _accuracy(exact, data)
    return {**ratios, _ACCURACY: accuracy, _GAIN: other - accuracy}


def _variances(network: nn.Module) -> list[Tensor]:
    norms = [norm for norm in network.modules() if isinstance(norm, nn.BatchNorm1d)]
    return [norm.get_buffer("running_var") for norm in norms]


def _accuracy(network: nn.Module, data: Data) -> float:
    with torch.no_grad():
        hits = network(data.val.single).argmax(1) == torch.as_tensor(data.val.y)
    return hits.double().mean().item()


def _dropout_behind_the_last_norm(
    make: Callable[[], nn.Module], data: Data
) -> Callable[[], nn.Module]:
    example = data.train.single[:2]

    def network() -> nn.Module:
        made = insert_norm(make(), "batch", example)
        last = [path for path, layer in made.named_modules() if isinstance(layer, nn.Linear)][-2]
        return insert_dropout(made, 0.5, example, where=last)

    return network


def _ratio_figure(numbers: list[Number]) -> Dots:
    tables = [
        rows(numbers, ratio).assign(series=f"norm {place}")
        for place, ratio in enumerate(_RATIOS, start=1)
    ]
    return Dots(
        "Variance in training over variance in inference",
        "Geometric mean over a norm's units, mean over the seeds with its 95 % interval. Norm 1 "
        "has no dropout before it in any network.",
        "variance in the running statistics / in evaluation",
        pd.concat(tables, ignore_index=True),
        reference=1,
        reference_label="no shift",
    )


def _gain_figure(numbers: list[Number]) -> Dots:
    return Dots(
        "What the shift costs",
        "Validation accuracy that is gained when the running statistics give way to those of "
        "inference (nw.recalibrate), mean over the seeds with its 95 % interval.",
        "gain in accuracy",
        rows(numbers, _GAIN),
        reference=0,
        reference_label="no gain",
    )
