"""Standardised inputs speed up gradient descent."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from normwise import stats
from normwise.data import Data, load
from normwise.lab.budget import Budget
from normwise.lab.claim import Claim
from normwise.lab.reading import arrivals, bands, estimate, per_seed
from normwise.lab.result import Number, Result
from normwise.lab.verdicts import below
from normwise.report import Lines
from normwise.study import Study, compare

_REACH = (200.0, 10.0)  # x₁ is uniform in ±200, x₂ in ±10
_SAMPLES, _EPOCHS, _BATCH, _EVERY = 1600, 24, 32, 8
_TARGET = 0.9  # R²
_FASTER = 0.5  # of the steps
_RAW, _STANDARD = "raw", "standardised"


class InputScaling(Claim):
    """One regression, in two units of measurement."""

    name = "input-scaling"
    statement = "Standardising inputs of unlike spread speeds up stochastic gradient descent."
    source = "LeCun, Bottou, Orr and Müller (1998), Efficient BackProp, section 4.3"
    formula = (
        r"H = 2\,\mathrm{E}[x x^\top], \qquad \eta < \frac{2}{\lambda_{\max}}, \qquad "
        r"\text{steps} \sim \frac{1}{\eta\,\lambda_{\min}} \sim "
        r"\frac{\lambda_{\max}}{\lambda_{\min}}"
    )
    experiment = (
        f"A linear model with x₁ in ±{_REACH[0]:g} and x₂ in ±{_REACH[1]:g}, both of the same "
        "weight for the target, is trained by SGD on the mean squared error, with the inputs as "
        "they are and standardised. Both start from the same function, see the same batches, and "
        "have the same share of the largest stable learning rate: 1/(2 λmax) of their own Hessian."
    )
    measured = (
        f"The steps to R² = {_TARGET} on the validation split, standardised over raw (medians over "
        "seeds; runs that never arrive count with all their steps)."
    )
    refuted_by = "As many steps with standardised inputs as without."
    criterion = (
        f"Holds where the 95 % interval of the ratio lies below {_FASTER}, fails where it lies "
        "above; inconclusive otherwise."
    )
    errata = (8,)

    def run(self, seed: int, data: Data, budget: Budget) -> Result:  # noqa: ARG002
        """Train both models with every seed."""
        datasets = {name: _data(seed, name == _STANDARD) for name in (_RAW, _STANDARD)}
        studies = {name: _train(each, seed, budget) for name, each in datasets.items()}
        steps = {name: arrivals(study)["plain"] for name, study in studies.items()}
        ratio = stats.bca_ratio(steps[_STANDARD], steps[_RAW])
        return self.result(
            below(ratio.low, ratio.high, _FASTER),
            [
                estimate(f"steps to R² = {_TARGET}, standardised / raw", ratio),
                *(
                    Number(f"{what}, {name}", value, unit=unit)
                    for name, each in datasets.items()
                    for what, value, unit in (
                        ("median steps", float(np.median(steps[name])), "steps"),
                        ("λmax / λmin", _condition(each), ""),
                        ("seeds that arrive", _arrived(studies[name]), "seeds"),
                    )
                ),
            ],
            [_curves(studies), _paths(studies, seed)],
            _notes(studies[_RAW], budget),
        )


def _data(seed: int, standardize: bool) -> Data:
    generator = torch.Generator().manual_seed(seed)
    x = (2 * torch.rand(_SAMPLES, 2, generator=generator) - 1) * torch.tensor(_REACH)
    y = (x / x.std(0)).sum(1) + 0.1 * torch.randn(_SAMPLES, generator=generator)
    return load((x, y), standardize=standardize)


def _eigenvalues(data: Data) -> Tensor:
    """Return the eigenvalues of the loss's Hessian, the smallest first."""
    x = data.train.single.double()
    return torch.linalg.eigvalsh(2 * x.T @ x / len(x))


def _condition(data: Data) -> float:
    low, high = _eigenvalues(data).tolist()
    return high / low


def _arrived(study: Study) -> int:
    return int(np.isfinite(per_seed(study, "steps_to_target")["plain"]).sum())


def _notes(raw: Study, budget: Budget) -> list[str]:
    late = budget.seeds - _arrived(raw)
    return [
        f"{late} of {budget.seeds} raw runs do not arrive within {raw.results.budget} steps and "
        "count as if they had with the last one: the ratio is an upper bound."
    ] * (late > 0)


def _train(data: Data, seed: int, budget: Budget) -> Study:
    std = data.train.single.std(0)
    return compare(
        _factory(std),
        data,
        ["plain"],
        seeds=list(range(seed, seed + budget.seeds)),
        epochs=budget.epochs(_EPOCHS),
        batch_size=_BATCH,
        lr=0.5 / _eigenvalues(data)[-1].item(),
        target=_TARGET,
        evaluate_every=_EVERY,
        measure=lambda network: _weights(network, std),
        progress=False,
    )


def _factory(std: Tensor) -> Callable[[], nn.Module]:
    """Return a factory of models that start from the same function, whatever the units."""

    def make() -> nn.Module:
        model = nn.Linear(2, 1)
        with torch.no_grad():
            model.weight.div_(std)
        return model

    return make


def _weights(network: nn.Module, std: Tensor) -> dict[str, float]:
    """Return the weights in units of standard deviations, in which the solution is (1, 1)."""
    first, second = (network.get_parameter("weight").detach()[0] * std).tolist()
    return {"w₁": first, "w₂": second}


def _curves(studies: dict[str, Study]) -> Lines:
    curves = [study.curves().assign(variant=name) for name, study in studies.items()]
    table = bands(pd.concat(curves).query("step > 0"), "val_r2")
    return Lines(
        "How well the model predicts",
        "R² on the validation split, mean over the seeds with its 95 % interval; the dashed line "
        "is the target.",
        "step",
        "R²",
        table,
        baseline=_RAW,
        log="x",
        level=_TARGET,
        level_label="target",
        limits=(0, 1),
    )


def _paths(studies: dict[str, Study], seed: int) -> Lines:
    table = [
        study.measured().query(f"seed == {seed}").assign(series=name)
        for name, study in studies.items()
    ]
    return Lines(
        "The way of the weights",
        "Weights in units of the inputs' standard deviations; both models start at the same place "
        "and should end at (1, 1). With raw inputs w₁ is there in a few steps and then rattles, "
        "while w₂ creeps. First seed.",
        "w₁ · std of x₁",
        "w₂ · std of x₂",
        pd.concat(table).rename(columns={"w₁": "x", "w₂": "y"}),
        baseline=_RAW,
    )
