"""Batch normalization lets deep networks of sigmoids train."""

import pandas as pd
import torch.nn.functional as F
from torch import nn

from normwise import stats
from normwise.data import Data
from normwise.lab.batches import Batch, first_batch
from normwise.lab.budget import Budget
from normwise.lab.claim import Claim
from normwise.lab.reading import accuracies, bands, estimate
from normwise.lab.result import Result
from normwise.lab.settings import classic
from normwise.lab.verdicts import above, below, both
from normwise.report import Lines
from normwise.study import compare, mlp

_DEPTHS, _WIDTH = (5, 10, 20), 32
_EPOCHS = 2  # as many as in the classic setting
_NAMES = {"act=sigmoid+init=xavier": "plain", "batch+act=sigmoid+init=xavier": "batch"}
_TRAINS, _STALLS = 0.8, 0.3  # accuracy, where guessing gives 0.1


class BnSigmoid(Claim):
    """Five, ten and twenty layers of sigmoids, with and without batch norm."""

    name = "bn-sigmoid"
    statement = "Deep networks of sigmoids train with batch normalization and stall without."
    source = "Ioffe and Szegedy (2015), Batch Normalization, sections 1 and 4.2.2"
    formula = (
        r"g(x)=\frac{1}{1+e^{-x}}, \quad g'(x)\le\tfrac14: \qquad "
        r"\frac{\partial\ell}{\partial z_0}="
        r"\frac{\partial\ell}{\partial z_L}\prod_{l=1}^{L} \mathrm{diag}(g'(x_l))\,W_l"
    )
    experiment = (
        f"Perceptrons with {', '.join(map(str, _DEPTHS))} hidden layers of {_WIDTH} sigmoid units, "
        "normalised Xavier init, SGD with learning rate 0.1: plain, and with batch norm before "
        "each sigmoid. Twice as long as the other trainings of the lab."
    )
    measured = (
        "The test accuracy; and before the first step the root mean square of every layer's "
        "weight gradient on 256 training samples."
    )
    refuted_by = "A plain network that learns, or one with batch norm that does not."
    criterion = (
        "Holds where at every depth the 95 % interval of the test accuracy lies above "
        f"{_TRAINS} with batch norm and below {_STALLS} without; fails where one of them lies on "
        "the other side; inconclusive otherwise."
    )

    def run(self, seed: int, data: Data, budget: Budget) -> Result:
        """Train both networks at every depth."""
        setting = classic(seed, data, budget)
        setting["epochs"] *= _EPOCHS
        setting["lr"] = 0.1
        numbers, verdicts, curves, gradients = [], [], [], pd.DataFrame()

        batch = first_batch(data, 256)

        def measure(network: nn.Module) -> dict[str, float]:
            return _gradients(network, batch)

        for depth in _DEPTHS:
            study = compare(
                mlp(data, (_WIDTH,) * depth),
                data,
                list(_NAMES),
                measure=measure if depth == _DEPTHS[-1] else None,
                **setting,
            )
            for variant, accuracy in accuracies(study).items():
                found = stats.bca(accuracy)
                judge = (below, _STALLS) if _NAMES[variant] == "plain" else (above, _TRAINS)
                verdicts.append(judge[0](found.low, found.high, judge[1]))
                what = f"test accuracy, {_NAMES[variant]}"
                numbers.append(estimate(what, found, of=f"{depth} hidden layers"))
            curves.append(bands(study.curves(), "val_acc").assign(panel=f"{depth} hidden layers"))
            gradients = study.measured()
        before = gradients.query("step == 0")
        figures = [_accuracy_figure(pd.concat(curves)), _gradient_figure(before)]
        return self.result(both(*verdicts), numbers, figures)


def _gradients(network: nn.Module, batch: Batch) -> dict[str, float]:
    """Return the root mean square of each layer's weight gradient, the first layer's first."""
    F.cross_entropy(network.train()(batch.x.float()), batch.y).backward()
    weights = [layer.weight for layer in network.modules() if isinstance(layer, nn.Linear)]
    return {
        str(place): weight.grad.square().mean().sqrt().item()
        for place, weight in enumerate(weights, start=1)
        if weight.grad is not None
    }


def _accuracy_figure(curves: pd.DataFrame) -> Lines:
    return Lines(
        "Validation accuracy of networks of sigmoids",
        "Mean over the seeds, with its 95 % interval. Guessing gives 0.1.",
        "step",
        "accuracy",
        curves.replace({"series": _NAMES}),
        baseline="plain",
    )


def _gradient_figure(measured: pd.DataFrame) -> Lines:
    long = measured.melt(["variant", "seed", "step", "epoch"], var_name="layer")
    table = bands(long.astype({"layer": int}), "value", x="layer")
    return Lines(
        f"The gradient on its way down, {_DEPTHS[-1]} hidden layers",
        "Root mean square of each layer's weight gradient before the first step, mean over the "
        "seeds: every sigmoid takes a factor, and batch norm gives it back.",
        "layer (1 is next to the input)",
        "gradient (RMS)",
        table.replace({"series": _NAMES}),
        baseline="plain",
        log="y",
    )
