"""A bias before batch norm does nothing, and centring outside the gradient lets it grow."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from normwise import stats
from normwise.data import Data
from normwise.lab.batches import first_batch
from normwise.lab.budget import Budget
from normwise.lab.claim import Claim
from normwise.lab.reading import bands, by_variant, estimate
from normwise.lab.result import Number, Result
from normwise.lab.verdicts import both, inside, within
from normwise.report import Lines
from normwise.study import Study, compare

_TOLERANCE = 1e-10  # of numbers of the order of 1, in float64
_STEPS, _LR = 100, 1.0
_FLAT = 1e-4  # nats, in float32
_LINEAR = (0.95, 1.05)  # growth in the second half of the steps over that in the first
_IGNORED, _KNOWN = "mean as a constant", "mean as a function"


class BnBias(Claim):
    """Algebra, and the thought experiment of the paper carried out."""

    name = "bn-bias"
    statement = (
        "A bias before batch normalization does nothing, and where the gradient takes the mean for "
        "a constant it grows without bound while the loss stays as it is."
    )
    source = "Ioffe and Szegedy (2015), Batch Normalization, sections 2 and 3.2"
    formula = (
        r"\hat x = (u+b) - \mathrm{E}[u+b] = u - \mathrm{E}[u], \qquad "
        r"b \leftarrow b - \eta\,\frac{\partial\ell}{\partial\hat x}"
        r"\;\Rightarrow\; \hat x \text{ unchanged}"
    )
    experiment = (
        "In float64, the outputs and gradients of a linear layer with batch norm on a batch of the "
        "data, for two different biases. Then logits x = u + b with fixed random weights in u are "
        "centred over the whole training split, and b alone is trained by gradient descent on the "
        f"cross-entropy with learning rate {_LR:g}: with the mean as a constant for the gradient, "
        "and with the true gradient."
    )
    measured = (
        "The difference of the outputs and the gradient of the bias as a share of the weights'; "
        "the length of b over the steps and the range of the loss."
    )
    refuted_by = (
        "Outputs that depend on the bias; a bias that stops growing, a loss that moves, or a bias "
        "that moves under the true gradient."
    )
    criterion = (
        f"Holds where outputs and the bias's gradient differ from zero by at most {_TOLERANCE}, "
        "and where, with the mean as a constant, the 95 % interval of b's growth in the second "
        f"half over that in the first lies within {_LINEAR[0]} and {_LINEAR[1]}, the loss moves by "
        f"at most {_FLAT} nats, and with the true gradient b grows by at most {_FLAT}; fails where "
        "one of these is excluded; inconclusive otherwise."
    )

    def run(self, seed: int, data: Data, budget: Budget) -> Result:
        """Do the algebra, and train biases."""
        output, gradient = _algebra(data)
        study = compare(
            _factory(data, torch.detach),
            data,
            {"plain": "plain", _KNOWN: _factory(data, lambda mean: mean)},
            seeds=list(range(seed, seed + budget.seeds)),
            epochs=budget.epochs(_STEPS),
            batch_size=len(data.train),
            lr=_LR,
            measure=_length,
            progress=False,
        )
        lengths, losses = (
            {name: each.reshape(budget.seeds, -1) for name, each in by_variant(table, what).items()}
            for table, what in ((study.measured(), "length"), (study.curves(), "train_loss"))
        )
        growth = stats.bca(_growth(lengths["plain"], np.unique(study.measured()["step"])))
        moved = float(np.nanmax(np.ptp(losses["plain"][:, 1:], axis=1)))  # nothing before step 1
        true = float(lengths[_KNOWN].max())
        return self.result(
            both(
                within(max(output, gradient), _TOLERANCE),
                inside(growth.low, growth.high, _LINEAR),
                within(max(moved, true), _FLAT),
            ),
            [
                estimate("growth of b in the second half of the steps over the first", growth),
                Number("range of the loss meanwhile", moved, unit="nats"),
                Number("largest length of b under the true gradient", true),
                Number("largest difference of outputs with another bias before BN", output),
                Number("gradient of a bias before BN, as a share of the weights'", gradient),
            ],
            [_figure(study)],
        )


def _algebra(data: Data) -> tuple[float, float]:
    """Return what another bias changes in the output, and the relative gradient of the bias."""
    x, y, classes = first_batch(data, 256)
    linear, norm = nn.Linear(x.shape[1], classes).double(), nn.BatchNorm1d(classes).double()
    before = norm(linear(x))
    weight, bias = torch.autograd.grad(F.cross_entropy(before, y), [linear.weight, linear.bias])
    with torch.no_grad():
        linear.bias.add_(torch.randn(classes))
        after = norm(linear(x))
    return (before - after).abs().max().item(), (bias.abs().max() / weight.abs().max()).item()


class _Centre(nn.Module):
    """Subtract the batch's mean, as the gradient is to see it."""

    def __init__(self, seen: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.seen = seen

    def forward(self, x: Tensor) -> Tensor:
        return x - self.seen(x.mean(0))


def _factory(data: Data, seen: Callable[[Tensor], Tensor]) -> Callable[[], nn.Module]:
    inputs, outputs = data.train.single[0].numel(), data.classes or 1

    def make() -> nn.Module:
        linear = nn.Linear(inputs, outputs)
        linear.weight.requires_grad_(False)
        nn.init.zeros_(linear.bias)
        return nn.Sequential(nn.Flatten(), linear, _Centre(seen))

    return make


def _length(network: nn.Module) -> dict[str, float]:
    bias = network.get_parameter("1.bias")
    return {"length": bias.detach().norm().item()}


def _growth(length: NDArray[np.float64], steps: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return how much lengths, (seeds, steps), grew per step after the middle, over before it."""
    middle = len(steps) // 2
    before = length[:, middle] / steps[middle]
    return (length[:, -1] - length[:, middle]) / (steps[-1] - steps[middle]) / before


def _figure(study: Study) -> Lines:
    panels = [
        bands(study.curves(), "train_loss").assign(panel="loss (nats)"),
        bands(study.measured(), "length").assign(panel="length of b"),
    ]
    return Lines(
        "A bias that the gradient believes in",
        "Mean over the seeds with its 95 % interval. With the mean as a constant every step moves "
        "b by the same amount, centring takes it out again, and the loss never learns of it. With "
        "the true gradient b stays where it is.",
        "step",
        "loss (nats) or length",
        pd.concat(panels).replace({"series": {"plain": _IGNORED}}),
    )
