"""Draw new initial weights for every Linear and convolution."""

import torch
from torch import nn

from normwise.edit.given import check_network
from normwise.errors import Problems, UsageError, suggest
from normwise.trace.functions import LAYER_TYPES

INITS = ("he", "xavier", "normal", "zero")


def initialize(
    network: nn.Module, init: str, *, std: float | None = None, generator: torch.Generator
) -> nn.Module:
    """Draw new weights for every Linear and convolution, the head included; biases become zero.

    `he` draws from N(0, 2 / fan_in) (He et al. 2015, eq. 10), `xavier` uniformly with variance
    2 / (fan_in + fan_out) (Glorot & Bengio 2010, eq. 16), `normal` from N(0, std²), and `zero` sets
    all to zero.

    Args:
        network: changed in place.
        init: one of `he`, `xavier`, `normal`, `zero`.
        std: for `normal`: the standard deviation.
        generator: the source of randomness; layers draw from it in the order of `modules()`.

    Returns:
        The network.

    Raises:
        UsageError: the name is unknown, `normal` has no positive `std`, or a weight is not a
            parameter with a shape.

    Example:
        >>> net = nn.Sequential(nn.Linear(400, 300), nn.ReLU())
        >>> net = initialize(net, "he", generator=torch.Generator().manual_seed(0))
        >>> round(net[0].weight.std().item(), 3)  # sqrt(2 / 400)
        0.071
    """
    check_network(network)
    if init not in INITS:
        raise UsageError(f"unknown init {init!r}{suggest(init, INITS)}: use {', '.join(INITS)}")
    if init == "normal" and not (std is not None and std > 0):
        raise UsageError(f"init=normal={std}: a standard deviation is positive")
    layers = {p: m for p, m in network.named_modules() if isinstance(m, LAYER_TYPES)}
    problems = Problems()
    for path, layer in layers.items():
        if not isinstance(layer.weight, nn.Parameter):
            problems.add(
                f"init={init}: the weight of {path} is computed from others, so that it cannot be "
                "drawn: leave init out, or initialise it in your factory"
            )
        elif nn.parameter.is_lazy(layer.weight):
            problems.add(
                f"init={init}: the weight of {path} has no shape yet: run the network on one batch"
            )
    problems.raise_if_any()
    drawn: set[int] = set()
    with torch.no_grad():
        for layer in layers.values():
            if id(layer.weight) not in drawn:
                drawn.add(id(layer.weight))
                # Drawn on the CPU, so that every device starts from the same numbers.
                weight = torch.empty(layer.weight.shape)
                layer.weight.copy_(_draw(weight, init, std, generator))
            if layer.bias is not None:
                layer.bias.zero_()
    return network


def _draw(
    weight: torch.Tensor, init: str, std: float | None, generator: torch.Generator
) -> torch.Tensor:
    match init:
        case "he":
            return nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=generator)
        case "xavier":
            return nn.init.xavier_uniform_(weight, generator=generator)
        case "normal":
            return nn.init.normal_(weight, 0.0, std or 0.0, generator=generator)
        case _:
            return nn.init.zeros_(weight)
