"""Batch normalization can represent the identity."""

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from normwise import layers
from normwise.data import Data
from normwise.lab.budget import Budget
from normwise.lab.claim import Claim
from normwise.lab.result import Number, Result
from normwise.lab.verdicts import both, within
from normwise.report import Lines

_TOLERANCE = 1e-12  # of values of the order of 1, in float64
_RIGHT, _SWAPPED = "γ = σ, β = μ", "γ = μ, β = σ"


class BnIdentity(Claim):
    """γ = σ and β = μ undo the normalization."""

    name = "bn-identity"
    statement = "Batch normalization can represent the identity: with γ = σ and β = μ."
    source = "Ioffe and Szegedy (2015), Batch Normalization, section 3"
    formula = (
        r"y = \gamma\,\frac{x-\mu}{\sqrt{\sigma^2+\varepsilon}}+\beta = x"
        r"\quad\text{for}\quad \gamma=\sqrt{\sigma^2+\varepsilon},\; \beta=\mu"
    )
    experiment = (
        "The first hidden layer's pre-activations on a batch go through BatchNorm1d in training "
        "mode, in float64: once with γ = √(σ²+ε) and β = μ of the batch, once with the two swapped."
    )
    measured = "The largest difference between output and input, over all samples and features."
    refuted_by = f"A difference above {_TOLERANCE} for γ = σ, β = μ."
    criterion = (
        f"Holds where γ = σ, β = μ restores every value to {_TOLERANCE} and the swapped assignment "
        "leaves more than that; fails otherwise."
    )
    errata = (1,)

    def run(self, seed: int, data: Data, budget: Budget) -> Result:  # noqa: ARG002
        """Compare both assignments."""
        x = _pre_activations(seed, data)
        norm = layers.BatchNorm1d(x.shape[1]).double()
        mean, std = x.mean(0), (x.var(0, correction=0) + norm.eps).sqrt()
        right, swapped = _applied(norm, x, std, mean), _applied(norm, x, mean, std)
        unit = int((swapped - x).abs().amax(0).argmax())
        error, other = _largest(right, x), _largest(swapped, x)
        swap_differs = within(_TOLERANCE, other)
        return self.result(
            both(within(error, _TOLERANCE), swap_differs),
            [
                Number("largest |y − x|", error, of=_RIGHT),
                Number("largest |y − x|", other, of=_SWAPPED),
            ],
            [_figure(x[:, unit], {_RIGHT: right[:, unit], _SWAPPED: swapped[:, unit]})],
        )


def _pre_activations(seed: int, data: Data) -> Tensor:
    torch.manual_seed(seed)
    x = data.train.single[:256].double().flatten(1)
    return nn.Linear(x.shape[1], 48, dtype=torch.float64)(x).detach()


def _applied(norm: nn.BatchNorm1d, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return what the layer puts out in training mode with this scale and shift."""
    with torch.no_grad():
        norm.weight.copy_(weight)
        norm.bias.copy_(bias)
        return norm(x)


def _largest(ours: Tensor, theirs: Tensor) -> float:
    return (ours - theirs).abs().max().item()


def _figure(x: Tensor, outputs: dict[str, Tensor]) -> Lines:
    order = x.argsort()
    table = pd.concat(
        pd.DataFrame({"series": name, "x": np.asarray(x[order]), "y": np.asarray(y[order])})
        for name, y in outputs.items()
    )
    return Lines(
        "One unit, before and after the layer",
        "The output of batch normalization against its input, on one batch, for the unit that the "
        "swapped assignment changes most. With γ = σ and β = μ the output is the input; with the "
        "two swapped it is another line.",
        "input x",
        "output y",
        table,
    )
