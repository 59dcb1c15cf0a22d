"""torch's functions that matter to a trace, under every name that torch gives them."""

from abc import ABC
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

Function = Callable[..., Any]
LayerModule = nn.Linear | nn.modules.conv._ConvNd

RECTIFIERS = frozenset({"relu", "relu6", "threshold"})
"""Activations whose output is exactly zero over a half line, so that a unit can die."""

BOUNDS = {
    "sigmoid": (0.0, 1.0),
    "hardsigmoid": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "softsign": (-1.0, 1.0),
}
"""Activations with two flat ends, and where the ends lie, so that a unit can saturate."""

_OTHERS = (
    "leaky_relu elu selu celu gelu silu mish prelu rrelu softplus logsigmoid "
    "hardtanh hardswish hardshrink softshrink tanhshrink"
)
ACTIVATION_NAMES = sorted(RECTIFIERS | set(BOUNDS) | set(_OTHERS.split()))


def _aliases(names: Iterable[str]) -> dict[Any, str]:
    """Map every function that torch exports under a name, in place or not, to that name."""
    holders = (F, torch, torch.Tensor, getattr(torch._C, "_nn"))  # noqa: B009 (has no stub)
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

_WEIGHTED = _aliases(
    [
        *("linear", "bilinear", "embedding", "embedding_bag", "multi_head_attention_forward"),
        *("conv1d", "conv2d", "conv3d"),
        *("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"),
        *("lstm", "gru", "rnn_tanh", "rnn_relu"),
        *("lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell"),
    ]
)
_PRODUCTS = _aliases(
    ["matmul", "__matmul__", "__rmatmul__", "mm", "bmm", "addmm", "baddbmm", "einsum"]
)


class OtherNorm(nn.Module, ABC):
    """Any norm that is none of torch's: its class says `normalizes = True`."""

    @classmethod
    def __subclasshook__(cls, kind: type) -> bool:
        return getattr(kind, "normalizes", False)


class OtherDropout(nn.Module, ABC):
    """A dropout whose p is no number to be set: its class says `drops = True`."""

    @classmethod
    def __subclasshook__(cls, kind: type) -> bool:
        return getattr(kind, "drops", False)


LAYER_TYPES = (nn.Linear, nn.modules.conv._ConvNd)
NORM_TYPES = (
    nn.modules.batchnorm._NormBase,  # every batch and instance norm
    nn.GroupNorm,
    nn.LayerNorm,
    nn.RMSNorm,
    OtherNorm,
)
DROPOUT_TYPES = (nn.modules.dropout._DropoutNd,)
"""Those whose `p` is a number that can be set."""


def is_weighted(function: Function, args: tuple[Any, ...]) -> bool:
    """Tell whether a call multiplies its input by weights, and so ends what came before."""
    if function in _PRODUCTS:
        return any(isinstance(arg, nn.Parameter) for arg in args)
    return function in _WEIGHTED
