"""Layer norm normalises samples, batch norm features."""

import math
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor, nn

from normwise.data import Data
from normwise.lab.budget import Budget
from normwise.lab.claim import Claim
from normwise.lab.result import Number, Result
from normwise.lab.verdicts import both, within
from normwise.report import Dots

_SHAPE = (16, 5, 10, 10)  # samples, channels, rows, columns
_FEATURES, _BATCH = (1, 2, 3), (0,)
_TOLERANCE = 1e-9  # of outputs of the order of 1, in float64
_EPS = 1e-12  # torch's 1e-5 would show in the variance


class LnAxes(Claim):
    """Moments along every axis, and who notices the rest of the batch."""

    name = "ln-axes"
    statement = (
        "Layer normalization normalises each sample over its features, batch normalization each "
        "feature over the batch."
    )
    source = "Ba, Kiros and Hinton (2016), Layer Normalization, sections 2 and 3"
    formula = (
        r"\text{batch norm: } \mu_f = \frac{1}{m}\sum_{i=1}^{m} x_{if}, \qquad "
        r"\text{layer norm: } \mu_i = \frac{1}{F}\sum_{f=1}^{F} x_{if}"
    )
    experiment = (
        f"Random values of shape {_SHAPE} (samples, channels, rows, columns), every sample and "
        "every feature with a mean of its own, go through LayerNorm with normalized_shape (10,), "
        "(10, 10) and (5, 10, 10), through BatchNorm2d, which treats positions as further samples, "
        "and through BatchNorm1d. Then all samples but the first are replaced by others."
    )
    measured = (
        "The largest |mean| or |variance − 1| of the output over the axes that the layer should "
        "normalise and over the other kind's; how much the first sample's output changes."
    )
    refuted_by = (
        "Moments other than 0 and 1, a layer norm that notices the other samples, or a batch norm "
        "that does not."
    )
    criterion = (
        f"Holds where the moments over a layer's own axes are 0 and 1 to {_TOLERANCE} and those "
        "over the other kind's are not, and the first sample's output changes by more than that "
        "with batch norm and not at all with layer norm; fails otherwise."
    )
    errata = (5,)

    def run(self, seed: int, data: Data, budget: Budget) -> Result:  # noqa: ARG002
        """Send two batches that share their first sample through all layers."""
        means = torch.randn(16, 1, 1, 1) + torch.randn(1, *_SHAPE[1:])
        x = (3 * means + torch.randn(_SHAPE)).double()
        others = torch.cat([x[:1], 5 - 2 * x[1:]])
        found = [_measure(case, x, others) for case in _cases()]
        layer = [case.change for case in found if case.name.startswith("Layer")]
        batch = [case.change for case in found if case.name.startswith("Batch")]
        return self.result(
            both(
                within(max(case.own for case in found), _TOLERANCE),
                within(_TOLERANCE, min(case.other for case in found)),
                within(max(layer), 0),
                within(_TOLERANCE, min(batch)),
            ),
            [
                Number(what, value, of=case.name)
                for case in found
                for what, value in (
                    ("pairs of mean and variance", case.pairs),
                    ("error of the moments, own axes", case.own),
                    ("of the other kind's axes", case.other),
                    ("change with the other samples", case.change),
                )
            ],
            [_figure(found)],
        )


@dataclass(frozen=True)
class _Case:
    """A layer with the axes that are its own, and those that the other kind would take."""

    name: str
    layer: nn.Module
    own: tuple[int, ...]
    other: tuple[int, ...]


@dataclass(frozen=True)
class _Found:
    name: str
    pairs: int
    own: float
    other: float
    change: float


def _cases() -> list[_Case]:
    layer_norms = [
        _Case(
            f"LayerNorm({shape})",
            nn.LayerNorm([*shape], eps=_EPS),
            _FEATURES[-len(shape) :],
            _BATCH,
        )
        for shape in ((10,), (10, 10), (5, 10, 10))
    ]
    flat = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(500, eps=_EPS), nn.Unflatten(1, _SHAPE[1:]))
    return [
        *layer_norms,
        _Case("BatchNorm2d(5)", nn.BatchNorm2d(5, eps=_EPS), (0, 2, 3), _FEATURES),
        _Case("BatchNorm1d(500)", flat, _BATCH, _FEATURES),
    ]


def _measure(case: _Case, x: Tensor, others: Tensor) -> _Found:
    layer = case.layer.double()
    with torch.no_grad():
        y, changed = layer(x), layer(others)
    return _Found(
        case.name,
        x.numel() // math.prod(_SHAPE[axis] for axis in case.own),
        _moments_error(y, case.own),
        _moments_error(y, case.other),
        (y[0] - changed[0]).abs().max().item(),
    )


def _moments_error(y: Tensor, axes: tuple[int, ...]) -> float:
    """Return how far means and variances over these axes are from 0 and 1."""
    return max(y.mean(axes).abs().max().item(), (y.var(axes, correction=0) - 1).abs().max().item())


def _figure(found: list[_Found]) -> Dots:
    rows = [
        {"row": case.name, "series": series, "estimate": value}
        for case in found
        for series, value in (("own axes", case.own), ("other kind's axes", case.other))
    ]
    return Dots(
        "Distance of means and variances from 0 and 1",
        "The largest over all samples, or features. Over a layer's own axes only rounding is left; "
        "over the axes of the other kind the output is not normalised.",
        "largest |mean| or |variance − 1| of the output",
        pd.DataFrame(rows),
        log=True,
    )
