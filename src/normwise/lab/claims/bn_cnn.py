"""Batch normalization of convolutions works per channel."""

from collections.abc import Callable

import pandas as pd
import torch
from torch import Tensor, nn

from normwise import layers, stats
from normwise.data import Data
from normwise.lab.budget import Budget
from normwise.lab.claim import Claim
from normwise.lab.reading import bands, difference, per_seed
from normwise.lab.result import Number, Result
from normwise.lab.settings import classic
from normwise.lab.verdicts import below, both, within
from normwise.report import Dots, Lines
from normwise.study import compare

_TOLERANCE = 1e-10  # of moments of the order of 1, in float64
_CHANNELS = 8
_SHOWN = 256  # samples whose moments are taken


class BnCnn(Claim):
    """Moments per channel, and the same comparison as for the perceptron."""

    name = "bn-cnn"
    statement = (
        "In a convolutional network batch normalization normalises each channel over the batch and "
        "all positions, and speeds the training as well."
    )
    source = "Ioffe and Szegedy (2015), Batch Normalization, section 3.2"
    formula = (
        r"\mu_c=\frac{1}{mHW}\sum_{n,h,w}x_{nchw},\qquad "
        r"\sigma_c^2=\frac{1}{mHW}\sum_{n,h,w}\left(x_{nchw}-\mu_c\right)^2"
    )
    experiment = (
        "A network of a convolution (5×5), pooling, a convolution (3×3), pooling and layers of 25 "
        "and 10 units is trained by SGD with learning rate 0.01, plain and with BatchNorm2d behind "
        "the second convolution. The layer's moments are taken on one batch before the training, "
        "in float64."
    )
    measured = (
        "Mean and variance of the layer's output per channel, against 0 and σ²/(σ²+ε), and the "
        "training loss at the end."
    )
    refuted_by = (
        f"A channel whose moments are off by more than {_TOLERANCE}, or a training loss that ends "
        "no lower with batch norm."
    )
    criterion = (
        f"Holds where all channels' moments are within {_TOLERANCE} of 0 and σ²/(σ²+ε), and the "
        "95 % interval of the paired difference in training loss lies below zero; fails where the "
        "moments are off or the interval lies above zero; inconclusive otherwise."
    )

    def run(self, seed: int, data: Data, budget: Budget) -> Result:
        """Take the moments, and train both networks with every seed."""
        torch.manual_seed(seed)
        before, after, expected = _normalised(_network(data, norm=True)(), data)
        error = max(_means(after).abs().max().item(), _off(after, expected))
        study = compare(
            None,
            data,
            {"plain": _network(data, norm=False), "batch": _network(data, norm=True)},
            evaluate_every=5,
            **classic(seed, data, budget),
        )
        loss = per_seed(study, "train_loss")
        gain = stats.paired(loss["batch"], loss["plain"], higher_is_better=False)
        return self.result(
            both(within(error, _TOLERANCE), below(gain.low, gain.high, 0)),
            [
                difference("difference in training loss, batch − plain", gain, "nats"),
                Number("largest error of a channel's mean and variance", error),
                Number(
                    "largest mean at one position of a channel",
                    after.mean(0).abs().max().item(),
                ),
            ],
            [
                _moments({"before": before, "after": after}),
                Lines(
                    "Training loss",
                    "Mean over the seeds, with the pointwise 95 % interval of that mean.",
                    "step",
                    "training loss (nats)",
                    bands(study.curves(), "train_loss"),
                    baseline="plain",
                ),
            ],
        )


def _network(data: Data, norm: bool) -> Callable[[], nn.Sequential]:
    """Return a factory of the lectures' network, for images of any size."""
    channels, height, width = data.train.single.shape[1:]

    def network() -> nn.Sequential:
        second = nn.Conv2d(6, _CHANNELS, 3, padding=1)
        return nn.Sequential(
            *(nn.Conv2d(channels, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), second),
            *([layers.BatchNorm2d(_CHANNELS)] if norm else []),
            *(nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
            *(nn.Linear(_CHANNELS * (height // 4) * (width // 4), 25), nn.ReLU()),
            nn.Linear(25, data.classes or 1),
        )

    return network


def _normalised(network: nn.Sequential, data: Data) -> tuple[Tensor, Tensor, Tensor]:
    """Return what enters and leaves the norm, and the variances per channel that it should have."""
    network.double()
    place = next(k for k, part in enumerate(network) if isinstance(part, nn.BatchNorm2d))
    norm = network[place]
    with torch.no_grad():
        before = network[:place](data.train[:_SHOWN].single.double())
        after = norm(before)
    variance = before.var((0, 2, 3), correction=0)
    return before, after, variance / (variance + norm.eps)


def _means(x: Tensor) -> Tensor:
    return x.mean((0, 2, 3))


def _off(x: Tensor, variance: Tensor) -> float:
    return (x.var((0, 2, 3), correction=0) - variance).abs().max().item()


def _moments(outputs: dict[str, Tensor]) -> Dots:
    rows = [
        {
            "row": f"channel {channel + 1}",
            "series": series,
            "estimate": round(values.mean().item(), 12),  # 0 up to rounding is 0 to a reader
            "low": (values.mean() - values.std()).item(),
            "high": (values.mean() + values.std()).item(),
        }
        for series, output in outputs.items()
        for channel, values in enumerate(output.movedim(1, 0))
    ]
    return Dots(
        "Each channel before and after the layer",
        "Mean (dot) and mean ± one standard deviation (bar) over all samples and positions of one "
        "batch: behind the layer every channel has mean 0 and standard deviation 1.",
        "activation",
        pd.DataFrame(rows),
        baseline="before",
    )
