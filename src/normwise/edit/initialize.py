"""Draw new initial weights for every Linear and convolution."""

import torch
from torch import nn

from normwise.errors import UsageError, suggest
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
        UsageError: the name is unknown, or `normal` has no positive `std`.

    Example:
        >>> net = nn.Sequential(nn.Linear(400, 300), nn.ReLU())
        >>> net = initialize(net, "he", generator=torch.Generator().manual_seed(0))
        >>> round(net[0].weight.std().item(), 3)  # sqrt(2 / 400)
        0.071
    """
    if init not in INITS:
        raise UsageError(f"unknown init {init!r}{suggest(init, INITS)}: use {', '.join(INITS)}")
    if init == "normal" and not (std is not None and std > 0):
        raise UsageError(f"init=normal={std}: a standard deviation is positive")
    drawn: set[nn.Parameter] = set()
    for module in network.modules():
        if isinstance(module, LAYER_TYPES) and module.weight not in drawn:
            drawn.add(module.weight)
            with torch.no_grad():
                # Drawn on the CPU, so that every device starts from the same numbers.
                weight = torch.empty(module.weight.shape)
                module.weight.copy_(_draw(weight, init, std, generator))
                if module.bias is not None:
                    module.bias.zero_()
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
