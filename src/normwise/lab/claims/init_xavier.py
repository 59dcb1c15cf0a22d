"""Normalised initialization keeps activations and gradients alive through a deep tanh network."""

from itertools import pairwise

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from normwise import stats
from normwise.data import Data
from normwise.edit import initialize
from normwise.lab.batches import Batch, first_batch
from normwise.lab.budget import Budget
from normwise.lab.claim import Claim
from normwise.lab.reading import estimate
from normwise.lab.result import Result
from normwise.lab.verdicts import below, both, inside
from normwise.report import Hills, hill_rows
from normwise.report.wording import brief

_DEPTH, _WIDTH, _SAMPLES = 5, 500, 128
_KEPT = (0.5, 2.0)  # factor of the variance from one layer to the next
_STANDARD, _NORMALISED = "standard", "normalised"
_UP, _DOWN = "activations", "gradients"
_CAPTIONS = {
    _UP: "Outputs of the tanh units, by hidden layer from the input up, and their "
    "standard deviation; first seed. Under the standard initialization they shrink from layer to "
    "layer.",
    _DOWN: "Gradients of the loss with respect to these outputs, from the last hidden layer "
    "down; first seed. Under the standard "
    "initialization little of the gradient arrives below.",
}


class InitXavier(Claim):
    """Variances by layer, before the first step."""

    name = "init-xavier"
    statement = (
        "Normalised (Xavier) initialization keeps the variance of activations and gradients "
        "through a deep tanh network; the standard one loses both."
    )
    source = "Glorot and Bengio (2010), Understanding the difficulty of training, eq. 1 and 16"
    formula = (
        r"\text{standard: } W \sim U\left[-\frac{1}{\sqrt{n}}, \frac{1}{\sqrt{n}}\right], \qquad "
        r"\text{normalised: } W \sim U\left[-\frac{\sqrt{6}}{\sqrt{n_{j}+n_{j+1}}}, "
        r"\frac{\sqrt{6}}{\sqrt{n_{j}+n_{j+1}}}\right]"
    )
    experiment = (
        f"The paper's network, {_DEPTH} hidden layers of tanh units ({_WIDTH} of them here), is "
        f"initialised in both ways; {_SAMPLES} samples of the data go through it, and the gradient "
        "of the cross-entropy comes back. Nothing is trained."
    )
    measured = (
        "The factor by which the variance of the activations changes from one hidden layer to the "
        "next, and that of the gradients on the way back (geometric means over the layers)."
    )
    refuted_by = (
        "A variance that normalised initialization halves or doubles per layer, or that the "
        "standard one does not halve."
    )
    criterion = (
        f"Holds where the 95 % intervals of both factors lie within {_KEPT[0]} and {_KEPT[1]} for "
        f"the normalised initialization and below {_KEPT[0]} for the standard one; fails where "
        "one of them lies on the other side; inconclusive otherwise."
    )

    def run(self, seed: int, data: Data, budget: Budget) -> Result:
        """Measure both initializations with every seed."""
        batch = first_batch(data, _SAMPLES)
        flows = {
            start: [_flow(batch, start, each) for each in range(seed, seed + budget.seeds)]
            for start in (_STANDARD, _NORMALISED)
        }
        lost, kept = (
            {
                what: stats.bca([_factor(flow[what]) for flow in flows[start]])
                for what in (_UP, _DOWN)
            }
            for start in flows
        )
        return self.result(
            both(
                inside(kept[_UP].low, kept[_UP].high, _KEPT),
                inside(kept[_DOWN].low, kept[_DOWN].high, _KEPT),
                below(lost[_UP].low, lost[_UP].high, _KEPT[0]),
                below(lost[_DOWN].low, lost[_DOWN].high, _KEPT[0]),
            ),
            [
                estimate(f"variance per layer, {what}", found[what], "×", start)
                for start, found in ((_NORMALISED, kept), (_STANDARD, lost))
                for what in (_UP, _DOWN)
            ],
            [
                _figure(what, {start: found[0][what] for start, found in flows.items()})
                for what in (_UP, _DOWN)
            ],
        )


def _flow(batch: Batch, start: str, seed: int) -> dict[str, dict[str, Tensor]]:
    """Return the values by hidden layer, the first that the signal passes in front."""
    sizes = [batch.x.shape[1], *[_WIDTH] * _DEPTH, batch.classes]
    layers = [nn.Linear(a, b) for a, b in pairwise(sizes)]
    generator = torch.Generator().manual_seed(seed)
    if start == _NORMALISED:
        initialize(nn.Sequential(*layers), "xavier", generator=generator)
    else:
        _standard(layers, generator)
    *hidden, head = layers
    values = [batch.x.float()]
    for layer in hidden:
        values.append(layer(values[-1]).tanh())
    names = [f"layer {place}" for place in range(1, _DEPTH + 1)]
    loss = F.cross_entropy(head(values[-1]), batch.y)
    gradients = torch.autograd.grad(loss, values[1:])
    upward = {name: value.detach() for name, value in zip(names, values[1:], strict=True)}
    downward = dict(zip(names[::-1], gradients[::-1], strict=True))
    return {_UP: upward, _DOWN: downward}


@torch.no_grad()
def _standard(layers: list[nn.Linear], generator: torch.Generator) -> None:
    for layer in layers:
        bound = layer.in_features**-0.5
        layer.weight.uniform_(-bound, bound, generator=generator)
        layer.bias.zero_()


def _factor(values: dict[str, Tensor]) -> float:
    """Return the geometric mean of the factors by which the variance changes per layer."""
    first, *_, last = (value.var().item() for value in values.values())
    return (last / first) ** (1 / (len(values) - 1))


def _figure(what: str, flows: dict[str, dict[str, Tensor]]) -> Hills:
    rows = [
        row
        for start, values in flows.items()
        for layer, value in values.items()
        for row in hill_rows(start, layer, value.numpy(), note=f"std {brief(value.std().item())}")
    ]
    return Hills(
        f"{what.capitalize()} before training",
        _CAPTIONS[what],
        what,
        pd.DataFrame(rows),
        baseline=_STANDARD,
    )
