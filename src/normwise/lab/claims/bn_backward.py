"""The closed-form gradients of batch normalization are right."""

from collections.abc import Sequence
from functools import partial

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from normwise.data import Data
from normwise.lab.batches import first_batch
from normwise.lab.budget import Budget
from normwise.lab.claim import Claim
from normwise.lab.result import Number, Result
from normwise.lab.verdicts import both, within
from normwise.layers.functional import batch_norm_backward
from normwise.report import Lines

_TOLERANCE = 1e-10  # as a share of the largest entry, in float64
_EPS = 1e-5
_SIZES = (2, 4, 8, 16, 32, 64, 128, 256)


class BnBackward(Claim):
    """Formulas against automatic differentiation."""

    name = "bn-backward"
    statement = "The closed-form gradients of batch normalization, with 1/m throughout, are right."
    source = "Ioffe and Szegedy (2015), Batch Normalization, section 3, the equations after alg. 1"
    formula = (
        r"\frac{\partial\ell}{\partial\sigma^2} = "
        r"-\frac{1}{2}\,(\sigma^2+\varepsilon)^{-3/2}"
        r"\sum_i \frac{\partial\ell}{\partial\hat x_i}\,(x_i-\mu)"
        "\n"
        r"\frac{\partial\ell}{\partial\mu} = "
        r"\frac{-1}{\sqrt{\sigma^2+\varepsilon}}\sum_i \frac{\partial\ell}{\partial\hat x_i}"
        r"-\frac{\partial\ell}{\partial\sigma^2}\,\frac{2}{m}\sum_i (x_i-\mu)"
        "\n"
        r"\frac{\partial\ell}{\partial x_i} = "
        r"\frac{1}{\sqrt{\sigma^2+\varepsilon}}\,\frac{\partial\ell}{\partial\hat x_i}"
        r"+\frac{\partial\ell}{\partial\sigma^2}\,\frac{2\,(x_i-\mu)}{m}"
        r"+\frac{1}{m}\,\frac{\partial\ell}{\partial\mu}"
    )
    experiment = (
        "In float64: the paper's equations, and normwise's shorter form of them, against autograd "
        f"for batches of {_SIZES[0]} to {_SIZES[-1]} random samples; and a perceptron of three "
        "layers with two batch norms, differentiated by hand on a batch of the data. For "
        "comparison, the equations with 1/(m−1) in the two places where the variance is "
        "differentiated."
    )
    measured = "The largest difference from autograd, as a share of the largest gradient."
    refuted_by = f"A difference above {_TOLERANCE} in any gradient."
    criterion = (
        f"Holds where every difference with 1/m is at most {_TOLERANCE} and that with 1/(m−1) is "
        "larger for every batch size; fails otherwise."
    )
    errata = (2,)

    def run(self, seed: int, data: Data, budget: Budget) -> Result:  # noqa: ARG002
        """Compare the formulas with autograd."""
        batches = [_batch(size) for size in _SIZES]
        expected = [_autograd(*batch) for batch in batches]
        right, printed, short = (
            [_error(form(*batch), its) for batch, its in zip(batches, expected, strict=True)]
            for form in (_equations, partial(_equations, less=1), _short_form)
        )
        network = _network_error(data)
        return self.result(
            both(
                within(max(*right, *short, network), _TOLERANCE),
                within(_TOLERANCE, min(printed)),
            ),
            [
                Number("largest error", max(right), of="the paper's equations, with 1/m"),
                Number("largest error", max(short), of="normwise's shorter form"),
                Number("largest error", network, of="all gradients of the perceptron"),
                Number("smallest error", min(printed), of="the equations with 1/(m−1)"),
            ],
            [_figure({"with 1/m": right, "with 1/(m−1)": printed})],
        )


def _batch(size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return an input, a weight and the gradient of the output."""
    x, grad = torch.randn(2, size, 5, dtype=torch.float64)
    return 3 + 2 * x, torch.randn(5, dtype=torch.float64), grad


def _autograd(x: Tensor, weight: Tensor, grad: Tensor) -> tuple[Tensor, ...]:
    leaves = [each.clone().requires_grad_() for each in (x, weight, torch.zeros_like(weight))]
    y = F.batch_norm(leaves[0], None, None, leaves[1], leaves[2], training=True, eps=_EPS)
    return torch.autograd.grad(y, leaves, grad)


def _equations(
    x: Tensor, weight: Tensor, grad: Tensor, less: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of input, weight and bias, with 1/(m − less) below 2(x − μ)."""
    m, centred = len(x), x - x.mean(0)
    std = (centred.square().mean(0) + _EPS).sqrt()
    by_normal = grad * weight
    by_var = -0.5 / std**3 * (by_normal * centred).sum(0)
    by_mean = -by_normal.sum(0) / std - by_var * 2 / (m - less) * centred.sum(0)
    dx = by_normal / std + by_var * 2 * centred / (m - less) + by_mean / m
    return dx, (grad * centred / std).sum(0), grad.sum(0)


def _short_form(x: Tensor, weight: Tensor, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    rstd = (x.var(0, correction=0, keepdim=True) + _EPS).rsqrt()
    dx, dweight, dbias = batch_norm_backward(grad, (x - x.mean(0)) * rstd, weight * rstd, [0])
    return dx, dweight[0], dbias[0]


def _network_error(data: Data) -> float:
    """Differentiate a perceptron from the loss down to the first layer."""
    x, y, classes = first_batch(data, 64)
    net = nn.Sequential(
        nn.Linear(x.shape[1], 48), nn.BatchNorm1d(48), nn.ReLU(),
        nn.Linear(48, 24), nn.BatchNorm1d(24), nn.ReLU(),
        nn.Linear(24, classes),
    ).double()  # fmt: skip
    downward = list(net)[::-1]
    loss = F.cross_entropy(net(x), y)
    expected = torch.autograd.grad(loss, [p for layer in downward for p in layer.parameters()])
    inputs = [x]
    for layer in net:
        inputs.append(layer(inputs[-1]).detach())
    grad = (inputs.pop().softmax(1) - F.one_hot(y, classes)) / len(y)
    found = []
    for layer in downward:
        x = inputs.pop()
        match layer:
            case nn.Linear():
                found += [grad.T @ x, grad.sum(0)]
                grad = grad @ layer.weight
            case nn.BatchNorm1d():
                grad, *own = _short_form(x, layer.weight, grad)
                found += own
            case nn.ReLU():
                grad = grad * (x > 0)
    return _error(found, expected)


def _error(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> float:
    """Return the largest difference, as a share of the largest entry of all."""
    differences = [(a - b).abs().max() for a, b in zip(ours, theirs, strict=True)]
    return (max(differences) / max(each.abs().max() for each in theirs)).item()


def _figure(errors: dict[str, list[float]]) -> Lines:
    table = pd.concat(
        pd.DataFrame({"series": name, "x": _SIZES, "y": values}) for name, values in errors.items()
    )
    return Lines(
        "Error of the gradients",
        "The largest difference from autograd, as a share of the largest gradient. With 1/m only "
        "rounding is left; 1/(m−1) is wrong for every batch, and the more so the smaller it is.",
        "batch size m (samples)",
        "relative error",
        table,
        log="xy",
        limits=(1e-17, 10),
    )
