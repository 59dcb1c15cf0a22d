"""Scaling in training or in evaluation: the same expectation, near the average of all networks."""

import copy
import itertools
from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from normwise import stats
from normwise.data import Data
from normwise.edit import mc_predict
from normwise.lab.batches import first_batch
from normwise.lab.budget import Budget
from normwise.lab.claim import Claim
from normwise.lab.reading import bands, estimate
from normwise.lab.result import Number, Result
from normwise.lab.settings import classic
from normwise.lab.verdicts import below, both, inside, within
from normwise.report import Lines
from normwise.study import compare

_UNITS, _P = 10, 0.3  # 1024 masks
_SAMPLES = 64
_DRAWS = [4, 16, 64, 256, 1024]
_TOLERANCE = 1e-10  # of numbers of the order of 1 to 10, in float64
_NEAR = 0.5  # of the distance of a single sub-network
_SLOPES = (-0.6, -0.4)
_NEVER = 10**6  # steps: evaluated before and after training only
_RELU = "ReLU behind"
_EXACT = ("1/(1 − p) in training", "1 − p in evaluation", "geometric mean of probabilities")


class DropoutScaling(Claim):
    """All masks, one by one."""

    name = "dropout-scaling"
    statement = (
        "Multiplying by 1 − p in evaluation and dividing by 1 − p in training are the same in "
        "expectation, and both approximate the average of all 2ⁿ sub-networks."
    )
    source = "Srivastava et al. (2014), Dropout, section 1; Baldi and Sadowski (2013), section 4"
    formula = (
        r"\mathrm{E}\!\left[W\,\frac{m \odot h}{1-p}\right] = W h, \qquad "
        r"\mathrm{softmax}(Wh) \propto \prod_{m} \mathrm{softmax}\!\left(W\,"
        r"\frac{m \odot h}{1-p}\right)^{P(m)}"
    )
    experiment = (
        f"Perceptrons with a dropout of p = {_P} behind {_UNITS} hidden units are trained, one "
        "with a linear layer behind the dropout and one with another hidden layer of ReLU. All "
        f"{2**_UNITS} masks are enumerated with their probabilities on {_SAMPLES} samples, and the "
        "average compared with the one pass of evaluation. On untrained networks of the second "
        "kind the average is estimated from 4 to 1024 random masks."
    )
    measured = (
        "The largest difference of logits, for both ways of scaling, and of probabilities from the "
        "normalised geometric mean; the distance from the average as a share of the distance of a "
        "single sub-network (root mean squares); the slope of the estimate's error in the number "
        "of masks, both logarithmic."
    )
    refuted_by = (
        "A difference above rounding where the rest is linear; a pass that is no nearer to the "
        "average than one sub-network; an error that does not fall as 1/√masks."
    )
    criterion = (
        f"Holds where all differences of the linear network are at most {_TOLERANCE}, the 95 % "
        f"interval of the share with ReLU lies below {_NEAR}, and that of the slope within "
        f"{_SLOPES[0]} and {_SLOPES[1]}; fails where one of these is excluded; inconclusive "
        "otherwise."
    )
    errata = (9,)

    def run(self, seed: int, data: Data, budget: Budget) -> Result:
        """Enumerate the masks of trained networks, and draw masks of untrained ones."""
        x = first_batch(data, _SAMPLES).x.float().view(-1, *data.train.single.shape[1:])
        setting = classic(seed, data, budget)
        linear, relu = _factory(data), _factory(data, 24)
        gaps = compare(
            linear,
            data,
            {"plain": "plain", _RELU: relu},
            optimizer="adam",
            measure=lambda network: _gaps(network, x),
            evaluate_every=_NEVER,
            **setting,
        ).measured()
        trained = gaps[gaps["step"] > 0].set_index("variant")
        errors = pd.concat(_errors(relu, x, each) for each in setting["seeds"])
        share = stats.bca(trained.loc[_RELU, "share"])
        slope = stats.bca([_slope(rows) for _, rows in errors.groupby("seed")])
        largest = {what: trained.loc["plain", what].max() for what in _EXACT}
        return self.result(
            both(
                within(max(largest.values()), _TOLERANCE),
                below(share.low, share.high, _NEAR),
                inside(slope.low, slope.high, _SLOPES),
            ),
            [
                *(
                    Number(f"linear behind the dropout, largest difference: {what}", error)
                    for what, error in largest.items()
                ),
                estimate("ReLU behind: distance from the average, sub-network = 1", share),
                estimate("slope of the error in the number of masks", slope),
            ],
            [_figure(errors)],
        )


def _factory(data: Data, *behind: int) -> Callable[[], nn.Module]:
    """Return a factory of the network with hidden layers of these widths behind the dropout."""
    inputs, outputs = data.train.single[0].numel(), data.classes or 1

    def make() -> nn.Module:
        tail: list[nn.Module] = []
        for a, b in itertools.pairwise((_UNITS, *behind)):
            tail += [nn.Linear(a, b), nn.ReLU()]
        front = [nn.Flatten(), nn.Linear(inputs, _UNITS), nn.ReLU(), nn.Dropout(_P)]
        return nn.Sequential(*front, *tail, nn.Linear((_UNITS, *behind)[-1], outputs))

    return make


def _parts(network: nn.Module, x: Tensor) -> tuple[Tensor, nn.Module]:
    """Return what goes into the dropout, and the layers behind it, in float64."""
    layers = list(copy.deepcopy(network).double().children())
    return nn.Sequential(*layers[:3])(x.double()), nn.Sequential(*layers[4:])


def _masks() -> tuple[Tensor, Tensor]:
    """Return all masks, shape (2^n, n), and the probability of each."""
    masks = torch.tensor([*itertools.product((0.0, 1.0), repeat=_UNITS)], dtype=torch.float64)
    kept = masks.sum(1)
    return masks, (1 - _P) ** kept * _P ** (_UNITS - kept)


def _average(shares: Tensor, outputs: Tensor) -> Tensor:
    return torch.einsum("m,msc->sc", shares, outputs)


@torch.no_grad()
def _gaps(network: nn.Module, x: Tensor) -> dict[str, float]:
    """Compare one pass in evaluation mode with the average over all masks."""
    hidden, tail = _parts(network, x)
    masks, shares = _masks()
    dropped = masks[:, None] * hidden
    outputs, scaled = tail(dropped / (1 - _P)), tail(hidden)
    mean, geometric = _average(shares, outputs), _average(shares, outputs.log_softmax(-1))
    single = _average(shares, (outputs - mean).square()).sum()
    differences = (
        scaled - mean,
        tail((1 - _P) * hidden) - _average(shares, tail(dropped)),
        scaled.softmax(-1) - geometric.softmax(-1),
    )
    return {
        **{what: each.abs().max().item() for what, each in zip(_EXACT, differences, strict=True)},
        "share": ((scaled - mean).square().sum() / single).sqrt().item(),
    }


@torch.no_grad()
def _errors(factory: Callable[[], nn.Module], x: Tensor, seed: int) -> pd.DataFrame:
    """Return the error of the average over random masks, by their number."""
    torch.manual_seed(seed)
    network = factory()
    hidden, tail = _parts(network, x)
    masks, shares = _masks()
    exact = _average(shares, tail(masks[:, None] * hidden / (1 - _P)))
    errors = [
        (mc_predict(network, x, samples=draws, seed=seed)[0] - exact).square().mean().sqrt().item()
        for draws in _DRAWS
    ]
    return pd.DataFrame({"variant": "random masks", "seed": seed, "draws": _DRAWS, "y": errors})


def _slope(errors: pd.DataFrame) -> float:
    return np.polyfit(np.log(errors["draws"]), np.log(errors["y"]), 1)[0]


def _figure(errors: pd.DataFrame) -> Lines:
    table = bands(errors, "y", x="draws")
    first = table["y"].iloc[0] * (table["x"] / table["x"].iloc[0]) ** -0.5
    expected = table.assign(series="1/√masks", y=first, low=first, high=first)
    return Lines(
        "How fast random masks find the average",
        f"Error of the logits, averaged over random masks, against the average over all "
        f"{2**_UNITS}: root mean square over {_SAMPLES} samples and all classes, mean over the "
        "seeds with its 95 % interval.",
        "random masks",
        "error of the logits",
        pd.concat([table, expected]),
        baseline="1/√masks",
        log="xy",
    )
