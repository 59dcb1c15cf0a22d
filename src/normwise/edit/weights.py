"""Let hidden layers compute with other weights than their own: dropped or standardised ones."""

from typing import Any

from torch import nn

from normwise.edit.dropout_kinds import check_p
from normwise.edit.editing import editing, traced
from normwise.edit.log import Edit
from normwise.errors import Problems, UsageError
from normwise.layers import DropConnect, drop_connect, standardize_weight
from normwise.trace.matching import Where, matching

_RECURRENT = (nn.RNNBase, nn.RNNCellBase)


def insert_drop_connect(
    network: nn.Module, p: float, example: Any, *, where: Where | None = None
) -> nn.Module:
    """Drop connections of every hidden layer in training: elements of its weight.

    The hidden layers are each Linear or convolution whose output feeds an activation, and every
    recurrent layer or cell, whose hidden-to-hidden weights are meant; the head is left alone. A
    layer that drops connections already gets this `p`. The layers keep their parameters and state
    dict; see `layers.drop_connect`. `edits` tells what was done where.

    Args:
        network: changed in place; left as it was if anything is refused.
        p: probability of a weight to be zeroed, in [0, 1).
        example: a batch of at least two inputs: a tensor, or a tuple or dict of arguments.
        where: only layers whose path matches this pattern (`encoder.*`) or one of these, or for
            which this predicate of path and module holds, be they hidden or not.

    Returns:
        The network.

    Raises:
        UsageError: `p` is out of range, or there is no such layer.

    Example:
        >>> import torch
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        >>> insert_drop_connect(net, 0.2, torch.randn(2, 4))[0]
        Linear(
          in_features=4, out_features=8, bias=True
          (drop_connect): DropConnect(p=0.2, inplace=False)
        )
    """
    check_p("dropconnect", p)
    layers = _layers(network, example, where, f"dropconnect={p}", recurrent=True)
    with editing(network, example) as made:
        for path, layer in layers.items():
            present = layer._modules.get("drop_connect")
            if isinstance(present, DropConnect):
                done = f"p={p}, which was {present.p}"
                present.p = p
            else:
                drop_connect(layer, p)
                done = f"DropConnect(p={p}) on its weights"
            made.append(Edit(f"insert_drop_connect p={p}", path, done))
    return network


def standardize_weights(
    network: nn.Module, example: Any, *, where: Where | None = None
) -> nn.Module:
    """Standardise the weights of every hidden layer: each unit's have mean 0 and variance 1.

    The hidden layers are each Linear or convolution whose output feeds an activation; the head is
    left alone. The layers keep their parameters and state dict; see `layers.standardize_weight`.
    Meant to go with a norm that needs no batch, such as `group` (Qiao et al. 2019). `edits` tells
    what was done where.

    Args:
        network: changed in place; left as it was if anything is refused.
        example: a batch of at least two inputs: a tensor, or a tuple or dict of arguments.
        where: only layers whose path matches this pattern (`encoder.*`) or one of these, or for
            which this predicate of path and module holds, be they hidden or not.

    Returns:
        The network.

    Raises:
        UsageError: there is no such layer, or one has a single weight per unit; every such layer
            is named.

    Example:
        >>> import torch
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        >>> standardize_weights(net, torch.randn(2, 4))[0]
        Linear(
          in_features=4, out_features=8, bias=True
          (weight_standardization): WeightStandardization(eps=1e-05)
        )
    """
    layers = _layers(network, example, where, "ws", recurrent=False)
    problems = Problems()
    with editing(network, example) as made:
        for path, layer in layers.items():
            try:
                standardize_weight(layer)
            except UsageError as error:
                problems.add(f"{path or 'it'}: {error}")
            made.append(Edit("standardize_weights", path, "its weights standardised"))
        problems.raise_if_any()
    return network


def _layers(
    network: nn.Module, example: Any, where: Where | None, word: str, *, recurrent: bool
) -> dict[str, nn.Module]:
    """Return the layers that are meant, by path."""
    found = traced(network, example)
    paths = [layer.path for layer in found.hidden] if where is None else list(found.layers)
    layers = {path: network.get_submodule(path) for path in paths}
    if recurrent:
        named = network.named_modules()
        layers |= {path: module for path, module in named if isinstance(module, _RECURRENT)}
    if not layers:
        kinds = "Linear or convolution feeds an activation and then another layer"
        also = ", and it has no recurrent layer" if recurrent else ""
        raise UsageError(f"no place for {word}: in this network no {kinds}{also}")
    chosen = matching(where, network, layers, "layer")
    return {path: layers[path] for path in chosen}
