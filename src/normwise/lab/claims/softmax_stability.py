"""Softmax and then log overflows; log-sum-exp does not."""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from normwise.data import Data
from normwise.lab.budget import Budget
from normwise.lab.claim import Claim
from normwise.lab.result import Number, Result
from normwise.lab.verdicts import both, within
from normwise.report import Lines

_TOLERANCE = 1e-6  # float32 has steps of 1.2e-7
_SIZES = np.geomspace(1, 1e4, 41).tolist()
_LOGITS: dict[str, Callable[[float], Tensor]] = {
    "logits from −s to s": lambda s: torch.linspace(-s, s, 10),
    "logits from s to s + 9": lambda s: s + torch.arange(10.0),
}
_STABLE = "log-sum-exp"
_WAYS: dict[str, Callable[[Tensor], Tensor]] = {
    "exp, then log": lambda z: (z.exp() / z.exp().sum()).log(),
    "softmax, then log": lambda z: F.softmax(z, 0).log(),
    _STABLE: lambda z: F.log_softmax(z, 0),
}


class SoftmaxStability(Claim):
    """Three ways to the same number, in float32."""

    name = "softmax-stability"
    statement = "Softmax followed by log breaks down for large logits; log-sum-exp does not."
    source = "Blanchard, Higham and Higham (2021), Accurately computing log-sum-exp and softmax"
    formula = r"\log\mathrm{softmax}(z)_k = z_k - a - \log\sum_j e^{z_j-a}, \qquad a = \max_j z_j"
    experiment = (
        "The cross-entropy of 10 logits in float32 with every class as the label: by the "
        "definition, by torch's softmax (which subtracts the largest logit) and then log, and by "
        "log_softmax. The logits are spread evenly from −s to s, or run from s to s + 9, with s "
        "from 1 to 10 000. The reference is log-sum-exp in float64."
    )
    measured = (
        "The largest error of the loss, as a share of the loss or of 1 where that is larger, and "
        "the first s for which a loss is not finite."
    )
    refuted_by = "A log-sum-exp that is inaccurate or not finite, or another way that stays finite."
    criterion = (
        f"Holds where log-sum-exp has an error of at most {_TOLERANCE} for all logits, and each "
        "of the other two ways has an s without a finite loss; fails otherwise."
    )
    errata = (10,)

    def run(self, seed: int, data: Data, budget: Budget) -> Result:  # noqa: ARG002
        """Compute the losses of all logits."""
        table = pd.DataFrame(
            {"series": way, "panel": family, "x": size, "y": _error(_WAYS[way], logits(size))}
            for family, logits in _LOGITS.items()
            for way in _WAYS
            for size in _SIZES
        )
        worst = {way: table.loc[table["series"] == way, "y"].max() for way in _WAYS}
        broken = all(worst[way] == math.inf for way in _WAYS if way != _STABLE)
        return self.result(
            both(within(worst[_STABLE], _TOLERANCE), "holds" if broken else "fails"),
            [
                Number("largest error", worst[_STABLE], of=_STABLE),
                *(
                    Number(f"not finite from s = …, {family}", _first(table, way, family), of=way)
                    for way in _WAYS
                    for family in _LOGITS
                ),
            ],
            [_figure(table)],
            [
                "In float32 exp overflows above 88.7, and a probability below 1.4e−45 becomes "
                "zero, whose logarithm is −∞. Subtracting the largest logit cures the first only."
            ],
        )


def _error(way: Callable[[Tensor], Tensor], z: Tensor) -> float:
    """Return the largest error over all labels; infinite where a loss is not finite."""
    exact = z.double() - torch.logsumexp(z.double(), 0)
    error = ((way(z).double() - exact) / exact.abs().clamp(min=1)).abs().max().item()
    return error if math.isfinite(error) else math.inf


def _first(table: pd.DataFrame, way: str, family: str) -> float:
    """Return the first s with an infinite error; NaN where there is none."""
    mine = (table["series"] == way) & (table["panel"] == family) & (table["y"] == math.inf)
    return table.loc[mine, "x"].min()


def _figure(table: pd.DataFrame) -> Lines:
    return Lines(
        "Error of the loss in float32",
        "The largest error over the ten labels, as a share of the loss or of 1; errors below 1e−8 "
        "are drawn there. A curve ends where a loss becomes infinite or NaN.",
        "s, the size of the logits",
        "error, as a share",
        table.assign(y=table["y"].replace(math.inf, math.nan).clip(lower=1e-8)),
        log="xy",
        limits=(5e-9, 1e-2),
    )
