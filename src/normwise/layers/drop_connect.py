"""Dropout of weights."""

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import nn

from normwise.layers.dropout import Dropout
from normwise.layers.weight_hooks import transform_weights

Module = TypeVar("Module", bound=nn.Module)


class DropConnect(Dropout):
    r"""Dropout for a weight; `drop_connect` puts it into a layer.

    $\tilde W = W \odot M / (1 - p)$ with $M \sim \text{Bernoulli}(1 - p)$ elementwise, drawn once
    per forward pass, and $\tilde W = W$ in evaluation. Wan et al., *Regularization of Neural
    Networks using DropConnect*, 2013 (which draws for every sample); for the recurrent weights of
    an LSTM Merity et al., *Regularizing and Optimizing LSTM Language Models*, 2018.

    Shape:
        - Input: any weight
        - Output: that of the input

    Args:
        p: probability of a weight to be zeroed. Default: 0.5
        scaling: `inverted` or `classic`, see `Dropout`. Default: `inverted`
        generator: draws the mask; None for torch's own random state. Default: None

    Raises:
        UsageError: `p` is no probability, or the scaling is unknown.

    Example:
        >>> sorted(set(DropConnect(0.5)(torch.ones(20, 20)).flatten().tolist()))
        [0.0, 2.0]
    """

    def __init__(
        self,
        p: float = 0.5,
        *,
        scaling: str = "inverted",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(p, scaling=scaling, generator=generator)


def drop_connect(
    module: Module,
    p: float = 0.5,
    weights: Sequence[str] | None = None,
    *,
    scaling: str = "inverted",
    generator: torch.Generator | None = None,
) -> Module:
    """Make a layer drop connections in training: elements of its weights, drawn every forward.

    The layer keeps its class and state dict, and gets a child `drop_connect`, a `DropConnect`. It
    works for every module that holds the weights itself, cuDNN's recurrent layers among them.

    Args:
        module: a Linear, a convolution, an RNN or its cell, or another; changed in place.
        p: probability of an element to be zeroed. Default: 0.5
        weights: names of its parameters. Default: the hidden-to-hidden weights (`weight_hh*`) of a
            recurrent module, else `weight`.
        scaling: `inverted` or `classic`, see `Dropout`. Default: `inverted`
        generator: draws the masks; None for torch's own random state. Default: None

    Returns:
        The module.

    Raises:
        UsageError: the module has no such weights or drops connections already, or an argument is
            out of range.

    Example:
        >>> layer = drop_connect(nn.Linear(3, 2), p=0.5)
        >>> sorted(layer.state_dict())
        ['bias', 'weight']
        >>> drop_connect(nn.LSTM(4, 8, num_layers=2), p=0.3)
        LSTM(
          4, 8, num_layers=2
          (drop_connect): DropConnect(p=0.3, inplace=False)
        )
    """
    if weights is None:
        names = [name for name, _ in module.named_parameters(recurse=False)]
        weights = [name for name in names if name.startswith("weight_hh")] or ["weight"]
    drop = DropConnect(p, scaling=scaling, generator=generator)
    transform_weights(module, "drop_connect", drop, weights)
    return module
