"""Dropout keeps a wide network from fitting the noise of fifty points."""

import numpy as np
import pandas as pd
import torch
from torch import nn

from normwise import stats
from normwise.data import Data, Split
from normwise.lab.budget import Budget
from normwise.lab.claim import Claim
from normwise.lab.reading import bands, difference, estimate
from normwise.lab.result import Result
from normwise.lab.verdicts import Verdict, below, both
from normwise.report import Lines
from normwise.study import compare

_POINTS, _FRESH, _NOISE, _WIDTH = 50, 1000, 0.3, 100
_EPOCHS, _SHOWN = 1000, (0.05, 0.2, 1.0)  # of which these shares are drawn
_DROPOUTS = ("dropout=0.5", "dropout=0.2")
_GRID = torch.linspace(-1, 1, 81)[:, None]
_TEST = "test loss"


class DropoutOverfit(Claim):
    """Fifty noisy points of a line, and a network with a hundred times as many weights."""

    name = "dropout-overfit"
    statement = "On 50 noisy points a wide network overfits, and dropout prevents it."
    source = "Srivastava et al. (2014), Dropout, sections 1 and 6"
    formula = (
        r"y = x + 0.3\,\varepsilon, \quad \varepsilon\sim N(0,1); \qquad "
        r"\mathrm{E}\big[(y-\hat f(x))^2\big] = 0.09 + \mathrm{E}\big[(x-\hat f(x))^2\big]"
    )
    experiment = (
        f"{_POINTS} points y = x + {_NOISE} ε, x evenly from −1 to 1, are learnt by a perceptron "
        f"1-{_WIDTH}-{_WIDTH}-1 with ReLU: Adam with learning rate 0.01, {_EPOCHS} epochs, all "
        "points in one batch; plain, and with dropout of 0.5 and of 0.2 behind both hidden layers. "
        "Each seed has its own noise and its own initial weights. Needs no data set."
    )
    measured = (
        f"The mean squared error on {_FRESH} fresh points after the last epoch, where the line "
        "itself has 0.09; and the fitted curves on the way."
    )
    refuted_by = "A plain network whose test loss does not rise, or dropout that ends no lower."
    criterion = (
        "Holds where the 95 % interval of the paired difference in final test loss lies below zero "
        "for both dropouts, dropout − plain, and that of the plain network's own, its lowest − its "
        "final test loss, as well; fails where one lies above; inconclusive otherwise."
    )

    def run(self, seed: int, data: Data, budget: Budget) -> Result:  # noqa: ARG002
        """Train the three networks on the points of every seed."""
        epochs = budget.epochs(_EPOCHS)
        every = max(1, epochs // 20)
        studies = {
            each: compare(
                _network,
                _points(each),
                ["plain", *_DROPOUTS],
                seeds=[each],
                epochs=epochs,
                batch_size=_POINTS,
                optimizer="adam",
                lr=0.01,
                evaluate_every=every,
                measure=_fit,
                workers=1,
                progress=False,
            )
            for each in range(seed, seed + budget.seeds)
        }
        final = pd.concat(study.frame() for study in studies.values())
        curves = pd.concat(study.curves() for study in studies.values())
        loss = {
            str(name): group["test_loss"].to_numpy()
            for name, group in final.groupby("variant", sort=False)
        }
        own = curves.query("variant == 'plain'").pivot(index="seed", columns="step")["val_loss"]
        rise = stats.paired(own.min(axis=1).to_numpy(), own.to_numpy()[:, -1])
        gains = {name: stats.paired(loss[name], loss["plain"]) for name in _DROPOUTS}
        found = [*gains.values(), rise]
        verdicts: list[Verdict] = [below(each.low, each.high, 0) for each in found]
        numbers = [difference("test loss − plain's", gain, of=name) for name, gain in gains.items()]
        numbers += [estimate(_TEST, stats.bca(values), of=name) for name, values in loss.items()]
        numbers.append(difference("lowest − final loss", rise, of="plain"))
        figures = [_loss_figure(curves), _fit_figure(studies[seed].measured(), seed)]
        return self.result(both(*verdicts), numbers, figures)


def _network() -> nn.Module:
    return nn.Sequential(
        *(nn.Linear(1, _WIDTH), nn.ReLU()),
        *(nn.Linear(_WIDTH, _WIDTH), nn.ReLU()),
        nn.Linear(_WIDTH, 1),
    )


def _points(seed: int) -> Data:
    """Return a line with noise: few points to learn, many fresh ones to be scored on."""
    generator = torch.Generator().manual_seed(seed)
    train, val, test = (_noisy_line(count, generator) for count in (_POINTS, _FRESH, _FRESH))
    return Data("a noisy line", train, val, test, "regression")


def _noisy_line(count: int, generator: torch.Generator) -> Split:
    x = torch.linspace(-1, 1, count)[:, None]
    return Split(x, x + _NOISE * torch.randn(x.shape, generator=generator))


def _fit(network: nn.Module) -> dict[str, float]:
    """Return the fitted curve, a number for each x."""
    with torch.no_grad():
        y = network(_GRID)
    return {f"{x:.3f}": fx for x, fx in zip(_GRID[:, 0].tolist(), y[:, 0].tolist(), strict=True)}


def _loss_figure(curves: pd.DataFrame) -> Lines:
    return Lines(
        "Loss on fresh points",
        f"Mean over the seeds, with its 95 % interval. The dashed line is {_NOISE**2:.2f}, the "
        "variance of the noise, which is the loss of the true line.",
        "epoch",
        "mean squared error",
        bands(curves.query("step > 0"), "val_loss", x="epoch"),
        baseline="plain",
        level=_NOISE**2,
        level_label="the line itself",
    )


def _fit_figure(measured: pd.DataFrame, seed: int) -> Lines:
    train = _noisy_line(_POINTS, torch.Generator().manual_seed(seed))
    points = train.each(torch.flatten)
    last = measured["step"].max()
    steps = sorted(measured["step"].unique())
    tables = []
    for share in _SHOWN:
        step = min(steps, key=lambda each: abs(each - share * last))
        long = measured[measured["step"] == step].melt(
            ["variant", "seed", "step", "epoch"], var_name="x", value_name="y"
        )
        table = long.rename(columns={"variant": "series"}).astype({"x": float})
        tables.append(table[["series", "x", "y"]].assign(panel=f"epoch {step}"))
    return Lines(
        "The fitted curves, first seed",
        "The plain network bends towards the points (in grey), which are a straight line and "
        "noise; dropout averages over many networks and stays close to the line.",
        "x",
        "y",
        pd.concat(tables),
        baseline="plain",
        points=pd.DataFrame({"x": np.asarray(points.x), "y": np.asarray(points.y)}),
        limits=(-2.0, 2.0),
    )
