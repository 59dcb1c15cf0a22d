"""Stacked linear layers are one linear layer."""

from itertools import pairwise

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from normwise.data import Data
from normwise.lab.batches import first_batch
from normwise.lab.budget import Budget
from normwise.lab.claim import Claim
from normwise.lab.result import Number, Result
from normwise.lab.verdicts import both, within
from normwise.report import Lines

_TOLERANCE = 1e-10  # of outputs of the order of 1, in float64
_WIDTHS = (1, 2, 4, 8)
_FLOOR = 1e-17  # where the figure draws zero


class LinearCollapse(Claim):
    """A stack, the product of its weights, and the rank that a narrow layer leaves."""

    name = "linear-collapse"
    statement = (
        "Linear layers without a nonlinearity between them are one linear layer, whose rank no "
        "wider layer can raise above the narrowest."
    )
    source = "Goodfellow, Bengio and Courville (2016), Deep Learning, section 6.1 and 6.4"
    formula = (
        r"W_3(W_2(W_1x+b_1)+b_2)+b_3 = (W_3W_2W_1)\,x + (W_3W_2b_1+W_3b_2+b_3), \qquad "
        r"\mathrm{rank}(W_3W_2W_1) \le k"
    )
    experiment = (
        "Three linear layers, in float64, with k units between the first and the second and 24 "
        f"after that, k being one of {', '.join(map(str, _WIDTHS))} and 48: the stack's output on "
        "a batch is compared with that of one layer with the multiplied weights, whose singular "
        "values are counted. The same with ReLU in between."
    )
    measured = (
        "The largest difference between stack and single layer, and the number of singular values "
        "above rounding."
    )
    refuted_by = "A difference above rounding without ReLU, or a rank above the narrowest width."
    criterion = (
        f"Holds where every linear stack is its single layer to {_TOLERANCE} and has a rank of at "
        "most k, and every stack with ReLU differs by more; fails otherwise."
    )
    errata = (13,)

    def run(self, seed: int, data: Data, budget: Budget) -> Result:  # noqa: ARG002
        """Compare stacks of several widths with their products."""
        x, _, classes = first_batch(data, 256)
        stacks = {width: _stack(x.shape[1], width, classes) for width in (*_WIDTHS, 48)}
        singles = {width: _product(stack) for width, stack in stacks.items()}
        linear, bent = (
            {
                width: (_through(stack, x, between) - singles[width](x)).abs().max().item()
                for width, stack in stacks.items()
            }
            for between in (nn.Identity(), nn.ReLU())
        )
        values = {width: torch.linalg.svdvals(one.weight) for width, one in singles.items()}
        ranks = {width: int(torch.linalg.matrix_rank(one.weight)) for width, one in singles.items()}
        return self.result(
            both(
                within(max(linear.values()), _TOLERANCE),
                within(max(rank - width for width, rank in ranks.items()), 0),
                within(_TOLERANCE, min(bent.values())),
            ),
            [
                Number(what, found[width], of=f"k = {width}")
                for width in stacks
                for what, found in (
                    ("largest |stack − one layer|", linear),
                    ("rank", ranks),
                    ("largest difference with ReLU", bent),
                )
            ],
            [_figure(values)],
        )


def _stack(inputs: int, width: int, outputs: int) -> list[nn.Linear]:
    sizes = (inputs, width, 24, outputs)
    return [nn.Linear(a, b).double() for a, b in pairwise(sizes)]


@torch.no_grad()
def _through(stack: list[nn.Linear], x: Tensor, between: nn.Module) -> Tensor:
    *hidden, last = stack
    for layer in hidden:
        x = between(layer(x))
    return last(x)


@torch.no_grad()
def _product(stack: list[nn.Linear]) -> nn.Linear:
    """Return the one layer that a stack is."""
    weight, bias = stack[0].weight, stack[0].bias
    for layer in stack[1:]:
        weight, bias = layer.weight @ weight, layer.weight @ bias + layer.bias
    one = nn.Linear(weight.shape[1], weight.shape[0]).double()
    one.weight.copy_(weight)
    one.bias.copy_(bias)
    return one


def _figure(values: dict[int, Tensor]) -> Lines:
    table = pd.concat(
        pd.DataFrame(
            {
                "series": f"k = {width}",
                "x": range(1, len(of) + 1),
                "y": np.maximum(of.detach().numpy(), _FLOOR),
            }
        )
        for width, of in values.items()
    )
    return Lines(
        "Singular values of the multiplied weights",
        "Behind a layer of k units k singular values are left, whatever comes after; the others "
        "are zero but for rounding (drawn at 1e−17 where they are exactly that).",
        "place, from the largest down",
        "singular value",
        table,
        log="y",
        limits=(_FLOOR / 2, 10),
    )
