"""The distribution of every hidden layer's pre-activation on a fixed batch."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from normwise.evidence.units import of_batch
from normwise.samples import Samples
from normwise.trace import Activation, trace

_BINS = 40
_SHOWN = (0.001, 0.999)  # the quantiles between which a histogram is drawn


@dataclass(frozen=True)
class Distribution:
    """What enters one hidden activation.

    Units are the features of a Linear and the channels of a convolution; all positions count as
    values of the same unit.

    Attributes:
        layer: paths of the layers that feed it, joined by ` + `.
        activation: torch's name of it.
        mean: over the batch, all units and positions.
        std: likewise.
        low: the 5 % quantile.
        high: the 95 % quantile.
        dead: share of units whose output is zero for every value of the batch; NaN for activations
            that cannot die.
        saturated: share of units that give at least 95 % of their values in the outer 5 % of the
            activation's range; NaN for activations without two flat ends.
        edges: of the histogram's bins, from the 0.1 % to the 99.9 % quantile.
        density: one per bin; the histogram's area is the share of values that it shows.

    Example:
        >>> import torch
        >>> net = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Sigmoid(), nn.Linear(1, 1))
        >>> _ = nn.init.ones_(net[0].weight)
        >>> [found] = distributions(net, torch.tensor([[-9.0], [9.0], [9.0], [9.0]]))
        >>> found.mean, found.saturated
        (4.5, 1.0)
    """

    layer: str
    activation: str
    mean: float
    std: float
    low: float
    high: float
    dead: float
    saturated: float
    edges: tuple[float, ...]
    density: tuple[float, ...]


def distributions(network: nn.Module, probe: Samples) -> list[Distribution]:
    """Measure what enters each hidden activation, as the layers see it in training.

    Norms use the statistics of the probe batch as they would in training, while dropout and all
    else is in evaluation mode. The network is left as it was.

    Args:
        network: any module that runs on `probe`.
        probe: a fixed batch of inputs.

    Returns:
        One distribution per hidden activation, in order of use; those whose input is not finite
        are left out.

    Raises:
        Exception: whatever the network raises on `probe`.

    Example:
        >>> import torch
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        >>> [first] = distributions(net, torch.randn(500, 4))
        >>> first.layer, first.activation, 0 <= first.dead <= 1
        ('0', 'relu', True)
    """
    measured: list[Distribution] = []

    def observe(activation: Activation, before: Tensor, after: Tensor) -> None:
        if before.isfinite().all():
            measured.append(_measure(activation, before, after))

    trace(network, probe, observe, dropout=False)
    return measured


def _measure(activation: Activation, before: Tensor, after: Tensor) -> Distribution:
    values = before.double().flatten().cpu().numpy()
    left, low, high, right = np.quantile(values, (_SHOWN[0], 0.05, 0.95, _SHOWN[1])).tolist()
    if left == right:
        left, right = left - 0.5, right + 0.5
    counts, edges = np.histogram(values, _BINS, (left, right))
    density = counts / (len(values) * np.diff(edges))
    units = of_batch(after.double(), activation.unit_axis, activation.name)
    return Distribution(
        layer=" + ".join(activation.layers),
        activation=activation.name,
        mean=values.mean().item(),
        std=values.std().item(),
        low=low,
        high=high,
        dead=units.dead,
        saturated=units.saturated,
        edges=tuple(edges.tolist()),
        density=tuple(density.tolist()),
    )
