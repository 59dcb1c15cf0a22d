"""Zero weights learn nothing beyond the last bias, and equal units stay equal."""

import itertools
from collections.abc import Callable

from torch import nn

from normwise import stats
from normwise.data import Data
from normwise.lab.budget import Budget
from normwise.lab.claim import Claim
from normwise.lab.reading import bands, by_variant, difference, estimate, per_seed
from normwise.lab.result import Number, Result
from normwise.lab.settings import classic
from normwise.lab.verdicts import both, inside, within
from normwise.report import Lines
from normwise.study import Study, compare
from normwise.study.networks import mlp

_CONSTANT = 0.1
_EQUAL = 1e-3  # of a unit's length; rounding alone, in float32, can set units apart
_MARGIN = 0.05  # of accuracy, for logistic regression from zero and from random weights
_LR = 0.1
_ZERO, _SAME, _LOGISTIC, _LOGISTIC_ZERO = "zero", "constant", "logistic", "logistic from zero"
_CAPTION = (
    "Mean over the seeds with its 95 % interval. From zero, only the last bias learns, so that the "
    "network tells how frequent the classes are. With constant weights all hidden units do the "
    "same, as one unit would. Logistic regression ends in the same place from zero."
)


class InitZero(Claim):
    """Symmetry that no gradient breaks."""

    name = "init-zero"
    statement = (
        "A perceptron with zero weights learns nothing beyond the last bias, with constant weights "
        "its hidden units stay identical, and logistic regression does not mind either."
    )
    source = "Goodfellow, Bengio and Courville (2016), Deep Learning, section 8.4"
    formula = (
        r"\frac{\partial\ell}{\partial W_1} = \left(W_2^\top \delta \odot f'\right) x^\top = 0, "
        r"\qquad \frac{\partial\ell}{\partial W_2} = \delta\, h^\top = 0 \qquad "
        r"\text{for } W_2 = 0,\; h = 0"
    )
    experiment = (
        "A perceptron with hidden layers of 48 and 24 ReLU units is trained by SGD with learning "
        f"rate {_LR} from its usual random weights, from zero, and from weights that are all "
        f"{_CONSTANT} (biases zero); and logistic regression from random weights and from zero."
    )
    measured = (
        "The largest weight and the largest difference between two units of the first hidden "
        "layer, as a share of their length, at the end of training; test accuracy and loss."
    )
    refuted_by = (
        "Weights that leave zero, units that become different, or a logistic regression that zero "
        "weights make worse or better."
    )
    criterion = (
        "Holds where no weight of the zero network ever leaves zero, the units of the constant one "
        f"differ by at most {_EQUAL} of their length, and the 95 % interval of the paired "
        "difference in test accuracy of logistic regression, zero − random weights, lies within "
        f"±{_MARGIN}; fails where one of these is excluded; inconclusive otherwise."
    )
    errata = (12,)

    def run(self, seed: int, data: Data, budget: Budget) -> Result:
        """Train all networks with every seed."""
        study = compare(
            None,
            data,
            {
                "plain": "plain",
                _ZERO: "init=zero",
                _SAME: _filled(mlp(data), _CONSTANT),
                _LOGISTIC: mlp(data, hidden=()),
                _LOGISTIC_ZERO: _filled(mlp(data, hidden=()), 0.0),
            },
            measure=_weights,
            **{**classic(seed, data, budget), "lr": _LR},
        )
        accuracy, loss = per_seed(study, "test_acc"), per_seed(study, "test_loss")
        weight, apart = (_largest(study, what) for what in ("weight", "apart"))
        change = stats.paired(accuracy[_LOGISTIC_ZERO], accuracy[_LOGISTIC])
        rows = [
            (
                Number("largest weight", weight[name], of=name),
                Number("units apart", apart[name], of=name),
                estimate("test accuracy", stats.bca(accuracy[name]), of=name),
                estimate("test loss", stats.bca(loss[name]), "nats", of=name),
            )
            for name in accuracy
        ]
        return self.result(
            both(
                within(weight[_ZERO], 0),
                within(apart[_SAME], _EQUAL),
                inside(change.low, change.high, (-_MARGIN, _MARGIN)),
            ),
            [
                *itertools.chain(*rows),
                difference("test accuracy, zero − random", change, of="logistic regression"),
            ],
            [_figure(study, "val_acc", "accuracy"), _figure(study, "val_loss", "loss (nats)")],
        )


def _largest(study: Study, column: str) -> dict[str, float]:
    """Return the largest that was measured, by variant, over seeds and steps."""
    return {
        name: float(values.max()) for name, values in by_variant(study.measured(), column).items()
    }


def _filled(factory: Callable[[], nn.Module], value: float) -> Callable[[], nn.Module]:
    """Return a factory of the network with weights of one value and biases of zero."""

    def make() -> nn.Module:
        network = factory()
        for parameter in network.parameters():
            nn.init.constant_(parameter, value if parameter.ndim > 1 else 0.0)
        return network

    return make


def _weights(network: nn.Module) -> dict[str, float]:
    """Return the largest weight, and how far a unit of the first layer is from their mean."""
    weights = [p.detach() for p in network.parameters() if p.ndim > 1]
    units = weights[0]
    apart = (units - units.mean(0)).norm(dim=1).max()
    return {
        "weight": max(weight.abs().max().item() for weight in weights),
        "apart": (apart / units.norm(dim=1).max().clamp(min=1e-30)).item(),
    }


def _figure(study: Study, column: str, y: str) -> Lines:
    return Lines(
        f"Validation {y.partition(' ')[0]}",
        _CAPTION,
        "step",
        y,
        bands(study.curves(), column),
        baseline="plain",
    )
