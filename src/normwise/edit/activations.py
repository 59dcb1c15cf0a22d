"""Replace the activation of every hidden layer."""

from typing import Any

from torch import nn

from normwise.edit.editing import editing, traced
from normwise.edit.given import check_network
from normwise.edit.log import Edit
from normwise.edit.own import Ownership
from normwise.edit.placing import label, path_of
from normwise.edit.swapping import swap
from normwise.errors import Problems, UsageError, suggest

ACTIVATIONS = {
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "elu": nn.ELU,
    "leaky_relu": nn.LeakyReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}


def replace_activation(network: nn.Module, activation: str, example: Any) -> nn.Module:
    """Give every hidden layer the same activation, with torch's defaults.

    Args:
        network: changed in place; left as it was if anything is refused.
        activation: one of `relu`, `sigmoid`, `tanh`, `elu`, `leaky_relu`, `gelu`, `silu`.
        example: a batch of at least two inputs: a tensor, or a tuple or dict of arguments.

    Returns:
        The network.

    Raises:
        UsageError: the name is unknown, there is no hidden activation, or one is called as a
            function in a forward that cannot be traced.

    Example:
        >>> import torch
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        >>> replace_activation(net, "tanh", torch.randn(2, 4))[1]
        Tanh()
    """
    check_network(network)
    if activation not in ACTIVATIONS:
        raise UsageError(
            f"unknown activation {activation!r}{suggest(activation, ACTIVATIONS)}: use one of "
            f"{', '.join(ACTIVATIONS)}"
        )
    found = traced(network, example)
    if not found.activations:
        raise UsageError(
            f"no place for act={activation}: in this network no layer feeds an activation and then "
            "another layer"
        )
    problems = Problems()
    own = Ownership(network, found, found.places, example, problems)
    problems.raise_if_any()
    with editing(network, example) as made:
        for place, former in zip(found.places, own.commit(), strict=True):
            path, done = path_of(network, former), f"in the place of {label(place)}"
            swap(network, former, ACTIVATIONS[activation]())
            made.append(Edit(f"replace_activation {activation}", path, done))
    return network
