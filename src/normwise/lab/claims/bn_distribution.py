"""Batch normalization keeps the distribution inside the network in place."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor, nn

from normwise import stats
from normwise.data import Data
from normwise.lab.budget import Budget
from normwise.lab.claim import Claim
from normwise.lab.reading import bands, by_variant, estimate
from normwise.lab.result import Result
from normwise.lab.settings import classic
from normwise.lab.verdicts import below
from normwise.report import Hills, Lines
from normwise.report.wording import brief, whole
from normwise.study import Study, compare
from normwise.trace import Activation, trace

_MUCH = 0.5  # of the plain network's drift
_MOMENTS = 24
_LEVELS = (np.arange(20) + 0.5) / 20
_PROBE = 512  # samples of the validation split
_LAYER = 1  # the second of the hidden ones


class BnDistribution(Claim):
    """How far the second hidden layer's pre-activation moves, with and without batch norm."""

    name = "bn-distribution"
    statement = (
        "Without batch normalization a hidden layer's distribution moves much more during training."
    )
    source = "Ioffe and Szegedy (2015), Batch Normalization, section 4.1 and figure 1"
    formula = (
        r"D = \frac{1}{U}\sum_{u=1}^{U}\sum_{t}\frac{W_1\left(z_u^{(t)},\,z_u^{(t+1)}\right)}"
        r"{\mathrm{std}\left(z_u^{(t)}\right)},\qquad "
        r"W_1(a,b)=\int_0^1\left|F_a^{-1}(q)-F_b^{-1}(q)\right|dq"
    )
    experiment = (
        "A perceptron with hidden layers of 48 and 24 ReLU units is trained by SGD with learning "
        "rate 0.01, plain and with batch norm before each ReLU. On the same samples of the "
        f"validation split, at {_MOMENTS} moments evenly spread over the training, each unit of "
        "the second hidden layer is looked at just before its ReLU."
    )
    measured = (
        "The drift D: how far a unit's distribution moves from moment to moment, as Wasserstein "
        "distance (20 quantiles) in units of its standard deviation, summed over the training and "
        "averaged over the units."
    )
    refuted_by = f"A drift with batch norm that is more than {_MUCH} times that without."
    criterion = (
        "Holds where the 95 % interval of the ratio of median drifts, batch / plain, lies below "
        f"{_MUCH}; fails where it lies above; inconclusive otherwise."
    )

    def run(self, seed: int, data: Data, budget: Budget) -> Result:
        """Train both networks with every seed and follow the second layer."""
        setting = classic(seed, data, budget)
        steps = setting["epochs"] * (len(data.train) // setting["batch_size"])
        study = compare(
            None,
            data,
            ["plain", "batch"],
            evaluate_every=max(1, round(steps / _MOMENTS)),
            measure=_quantiles(data.val[:_PROBE].single),
            **setting,
        )
        drift = _drift(study.measured())
        final = by_variant(drift.query("step == step.max()"), "drift")
        ratio = stats.bca_ratio(final["batch"], final["plain"])
        return self.result(
            below(ratio.low, ratio.high, _MUCH),
            [
                estimate("drift, batch / plain", ratio),
                *(
                    estimate(f"drift, {variant}", stats.bca(final[variant]), "std")
                    for variant in ("plain", "batch")
                ),
            ],
            [_histograms(study), _figure(drift)],
            [_progress(study)],
        )


def _quantiles(probe: Tensor) -> Callable[[nn.Module], dict[str, float]]:
    """Return what measures the quantiles and the spread of each unit before its activation."""

    def measure(network: nn.Module) -> dict[str, float]:
        inputs: list[Tensor] = []

        def observe(activation: Activation, before: Tensor, after: Tensor) -> None:  # noqa: ARG001
            inputs.append(before)

        trace(network, probe, observe, dropout=False)
        values = inputs[_LAYER].double().numpy()
        quantiles = np.quantile(values, _LEVELS, axis=0)
        return {
            f"unit {unit}, {what}": value
            for unit, column in enumerate(np.vstack([quantiles, values.std(axis=0)]).T.tolist())
            for what, value in zip([*map(str, _LEVELS), "std"], column, strict=True)
        }

    return measure


def _drift(measured: pd.DataFrame) -> pd.DataFrame:
    """Return the drift up to each moment: a row per variant, seed and step."""
    parts = []
    for _, run in measured.groupby(["variant", "seed"], sort=False):
        values = run.drop(columns=["variant", "seed", "step", "epoch"]).to_numpy()
        moments = values.reshape(len(run), -1, len(_LEVELS) + 1)
        parts.append(run[["variant", "seed", "step"]].assign(drift=_summed(moments)))
    return pd.concat(parts)


def _summed(moments: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the drift from moments x units x (quantiles, std)."""
    moves = np.abs(np.diff(moments[..., :-1], axis=0)).mean(axis=-1) / moments[:-1, :, -1]
    return np.concatenate([[0.0], moves.mean(axis=1).cumsum()])


def _progress(study: Study) -> str:
    """Say how much each network learned on its way."""
    curves = study.curves()
    first, last = (
        by_variant(curves.query(f"step == step.{end}()"), "val_loss") for end in ("min", "max")
    )
    falls = {variant: (first[variant] - last[variant]).mean().item() for variant in first}
    return (
        f"Meanwhile the validation loss fell by {brief(falls['plain'])} nats without and by "
        f"{brief(falls['batch'])} with batch norm; a network that hardly learns hardly moves."
    )


def _histograms(study: Study) -> Hills:
    layers, bins = study.results.layers(), study.results.histograms()
    layer = list(dict.fromkeys(layers["layer"]))[_LAYER]
    told = bins.merge(layers[["variant", "layer", "step", "std"]])
    table = pd.DataFrame(told[told["layer"] == layer])
    table = table.assign(
        column=table["variant"],
        row=[f"step {whole(step)}" for step in table["step"]],
        note=[f"σ {brief(std)}" for std in table["std"]],
    )
    return Hills(
        "Before the second ReLU, over the training",
        "All units together, on the same samples, for one seed, from the first step (top) to the "
        "last. σ is the standard deviation.",
        "pre-activation",
        table,
        baseline="plain",
    )


def _figure(drift: pd.DataFrame) -> Lines:
    return Lines(
        "Drift so far",
        "How far the units' distributions have moved since the start, in standard deviations: mean "
        "over the seeds, with the pointwise 95 % interval of that mean.",
        "step",
        "drift (std)",
        bands(drift, "drift"),
        baseline="plain",
    )
