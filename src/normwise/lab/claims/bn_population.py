"""Inference uses population moments and is one affine map."""

import math
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from normwise import stats
from normwise.data import Data
from normwise.edit import recalibrate
from normwise.lab.batches import first_batch
from normwise.lab.budget import Budget
from normwise.lab.claim import Claim
from normwise.lab.reading import bands, estimate
from normwise.lab.result import Number, Result
from normwise.lab.verdicts import below, both, inside, within
from normwise.layers import BatchNorm1d
from normwise.report import Lines

_TOLERANCE = 1e-12  # of values of the order of 1, in float64
_MARGIN = 0.02  # of the variance
_RUNNING = ("running_mean", "running_var")
_BATCH, _BATCHES, _STEPS = 8, 2000, 200


class BnPopulation(Claim):
    """What a batch norm does once it is trained."""

    name = "bn-population"
    statement = (
        "In inference, batch normalization uses population moments, for which the batches' "
        "variance is corrected by m/(m−1), and is one affine map."
    )
    source = "Ioffe and Szegedy (2015), Batch Normalization, algorithm 2"
    formula = (
        r"\mathrm{Var}[x] = \frac{m}{m-1}\,\mathrm{E}_B[\sigma_B^2], \qquad "
        r"y = \frac{\gamma}{\sqrt{\mathrm{Var}[x]+\varepsilon}}\,x + "
        r"\left(\beta - \frac{\gamma\,\mathrm{E}[x]}{\sqrt{\mathrm{Var}[x]+\varepsilon}}\right)"
    )
    experiment = (
        "A hidden layer's pre-activations on the training data are the population. Per seed, the "
        f"layer's weights and {_BATCHES} batches of {_BATCH} samples are drawn; the mean of the "
        "batches' variances is compared with the population's, with and without the correction. "
        "A BatchNorm1d that was fed such batches, and one whose statistics were recalibrated over "
        "the population, are compared with the affine map in evaluation mode."
    )
    measured = (
        "The mean variance of batches over that of the population, averaged over units; the "
        "largest difference between layer and affine map; the distance of the moving average from "
        "the population mean."
    )
    refuted_by = (
        "A corrected variance that misses the population's, or outputs that no affine map gives."
    )
    criterion = (
        f"Holds where the 95 % interval of the corrected ratio lies within 1 ± {_MARGIN}, that of "
        f"the uncorrected one below 1 − {_MARGIN}, and layer and affine map differ by at most "
        f"{_TOLERANCE}; fails where one of these is excluded; inconclusive otherwise."
    )
    errata = (3, 4)

    def run(self, seed: int, data: Data, budget: Budget) -> Result:
        """Draw batches from a known population."""
        rows = [_one_seed(each, data) for each in range(seed, seed + budget.seeds)]
        plain = stats.bca([row["ratio"] for row in rows])
        right = stats.bca([row["ratio"] * _BATCH / (_BATCH - 1) for row in rows])
        error = max(row["error"] for row in rows)
        return self.result(
            both(
                inside(right.low, right.high, (1 - _MARGIN, 1 + _MARGIN)),
                below(plain.low, plain.high, 1 - _MARGIN),
                within(error, _TOLERANCE),
            ),
            [
                estimate("E[σ²]·m/(m−1), as a share of the population's variance", right),
                estimate("E[σ²] alone, likewise", plain),
                Number("largest |layer − affine map|", error),
            ],
            [_figure(pd.concat(row["gaps"] for row in rows))],
        )


def _one_seed(seed: int, data: Data) -> dict[str, Any]:
    """Return the uncorrected ratio, the error of the affine map, and the gaps over the steps."""
    torch.manual_seed(seed)
    x = first_batch(data, len(data.train)).x
    x = nn.Linear(x.shape[1], 48, dtype=torch.float64)(x).detach()
    batches = x[torch.randint(len(x), (_BATCHES, _BATCH))]
    ratio = batches.var(1, correction=0).mean(0) / x.var(0, correction=0)
    norms = {"moving, α = 0.1": _norm(0.1), "average of all": _norm(None)}
    gaps = pd.concat(_gaps(name, norm, x, batches[:_STEPS]) for name, norm in norms.items())
    errors = [_affine_error(n, x, *map(n.get_buffer, _RUNNING)) for n in norms.values()]
    recalibrated = recalibrate(_norm(0.1), [x])
    errors.append(_affine_error(recalibrated, x, x.mean(0), x.var(0, correction=0)))
    return {"ratio": ratio.mean().item(), "error": max(errors), "gaps": gaps.assign(seed=seed)}


def _norm(momentum: float | None) -> BatchNorm1d:
    norm = BatchNorm1d(48, momentum=momentum).double()
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    return norm


def _gaps(name: str, norm: BatchNorm1d, x: Tensor, batches: Tensor) -> pd.DataFrame:
    """Feed batches; return the distance of the mean after each, as root mean square over units."""
    gaps = []
    for batch in batches:
        norm(batch)
        distance = (norm.get_buffer("running_mean") - x.mean(0)) / x.std(0, correction=0)
        gaps.append(distance.square().mean().sqrt().item())
    return pd.DataFrame({"variant": name, "step": range(1, len(gaps) + 1), "gap": gaps})


def _affine_error(norm: Any, x: Tensor, mean: Tensor, var: Tensor) -> float:
    """Return how far a layer in evaluation mode is from the map that the formula gives."""
    slope = norm.weight / (var + norm.eps).sqrt()
    affine = slope * x + (norm.bias - slope * mean)
    return (norm.eval()(x) - affine).abs().max().item()


def _figure(gaps: pd.DataFrame) -> Lines:
    floor = math.sqrt(0.1 / (2 - 0.1) / _BATCH)
    return Lines(
        "How far the tracked mean is from the population's",
        f"Root mean square over units, mean over the seeds with its 95 % interval; batches of "
        f"{_BATCH}. The moving average with momentum α = 0.1 first forgets its start at zero and "
        "then stays as noisy as the last batches make it: √(α/(2−α)/m) standard deviations. The "
        "average of all batches goes on falling as 1/√steps; recalibration is exact.",
        "step (batches seen)",
        "distance (standard deviations)",
        bands(gaps, "gap"),
        log="xy",
        level=floor,
        level_label="√(α/(2−α)/m)",
    )
