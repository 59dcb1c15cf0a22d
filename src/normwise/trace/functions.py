"""torch's activation, norm and dropout functions, under every name that torch gives them."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

Function = Callable[..., Any]

RECTIFIERS = frozenset({"relu", "relu6", "threshold"})
"""Activations whose output is exactly zero over a half line, so that a unit can die."""

BOUNDS = {
    "sigmoid": (0.0, 1.0),
    "hardsigmoid": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "hardtanh": (-1.0, 1.0),
    "softsign": (-1.0, 1.0),
}
"""Activations with two flat ends, and where the ends lie, so that a unit can saturate."""

_SMOOTH = "leaky_relu elu selu celu gelu silu mish prelu rrelu softplus hardswish hardshrink"
ACTIVATION_NAMES = sorted(RECTIFIERS | set(BOUNDS) | set(_SMOOTH.split()))


def _aliases(names: Iterable[str]) -> dict[Function, str]:
    """Map every function that torch exports under a name, in place or not, to that name."""
    holders = (F, torch, torch.Tensor, torch._C._nn)
    return {
        getattr(holder, spelling): name
        for name in names
        for spelling in (name, f"{name}_")
        for holder in holders
        if hasattr(holder, spelling)
    }


ACTIVATIONS = _aliases(ACTIVATION_NAMES)
NORM_FUNCTIONS = _aliases(["batch_norm", "instance_norm", "group_norm", "layer_norm", "rms_norm"])
DROPOUT_FUNCTIONS = _aliases(
    ["dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout"]
)

LAYER_TYPES = (nn.Linear, nn.modules.conv._ConvNd)
NORM_TYPES = (
    nn.modules.batchnorm._NormBase,  # every batch and instance norm
    nn.GroupNorm,
    nn.LayerNorm,
    nn.RMSNorm,
)
DROPOUT_TYPES = (nn.modules.dropout._DropoutNd,)
