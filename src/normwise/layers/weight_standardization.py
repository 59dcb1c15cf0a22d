"""Normalise the weights of a layer in the place of its outputs."""

from typing import TypeVar

import torch
from torch import Tensor, nn

from normwise.errors import UsageError
from normwise.layers.weight_hooks import transform_weights

Module = TypeVar("Module", bound=nn.Module)


class WeightStandardization(nn.Module):
    r"""Mean 0 and variance 1 for the weights of every unit.

    `standardize_weight` puts it into a layer.
    $\hat W_i = (W_i - \mu_i) / \sqrt{\sigma_i^2 + \epsilon}$, where $\mu_i$ and $\sigma_i^2$ are
    mean and variance (divided by the count) of the weights that lead to output unit i. Qiao et al.,
    *Micro-Batch Training with Batch-Channel Normalization and Weight Standardization*, 2019.

    Shape:
        - Input: `(out, *)`, or `(in, out, *)` if `transposed`
        - Output: that of the input

    Args:
        eps: added to the variance. Default: 1e-5
        transposed: for transposed convolutions, whose second axis counts the outputs.
            Default: False

    Raises:
        UsageError: `eps` is negative, there is no axis of units, or a unit has a single weight,
            which would become 0.

    Example:
        >>> weight = WeightStandardization()(torch.randn(4, 3, 5, 5) * 7 + 2)
        >>> bool(weight.mean((1, 2, 3)).abs().max() < 1e-5)
        True
    """

    def __init__(self, eps: float = 1e-5, transposed: bool = False) -> None:
        if eps < 0:
            raise UsageError(f"WeightStandardization(eps={eps}): eps is 0 or more")
        super().__init__()
        self.eps, self.transposed = eps, transposed

    def forward(self, weight: Tensor) -> Tensor:
        """Standardise the weights of every unit."""
        unit = 1 if self.transposed else 0
        if weight.ndim <= unit:
            takes = "(in, out, *)" if self.transposed else "(out, *)"
            raise UsageError(
                f"WeightStandardization({self.extra_repr()}) takes a weight of shape {takes}, not "
                f"{tuple(weight.shape)}"
            )
        over = [axis for axis in range(weight.ndim) if axis != unit]
        if weight.numel() == weight.shape[unit]:
            raise UsageError(
                f"a weight of shape {tuple(weight.shape)} has one value per unit, which weight "
                "standardization would always make 0: leave this layer out"
            )
        variance, mean = torch.var_mean(weight, over, correction=0, keepdim=True)
        return (weight - mean) * (variance + self.eps).rsqrt()

    def extra_repr(self) -> str:
        """Show the arguments."""
        return f"eps={self.eps}" + (", transposed=True" if self.transposed else "")


def standardize_weight(module: Module, eps: float = 1e-5) -> Module:
    """Make a Linear or convolution compute with its weight standardised.

    The layer keeps its class and state dict, and gets a child `weight_standardization`.

    Args:
        module: changed in place.
        eps: added to the variance. Default: 1e-5

    Returns:
        The module.

    Raises:
        UsageError: it is no such layer, has one weight per unit, or is standardised already.

    Example:
        >>> layer = standardize_weight(nn.Conv2d(3, 8, 3, bias=False))
        >>> shifted = standardize_weight(nn.Conv2d(3, 8, 3, bias=False))
        >>> with torch.no_grad():
        ...     _ = shifted.weight.copy_(3 * layer.weight + 1)
        >>> x = torch.randn(2, 3, 5, 5)
        >>> torch.allclose(layer(x), shifted(x), atol=1e-2)
        True
    """
    if not isinstance(module, nn.Linear | nn.modules.conv._ConvNd):
        kind = type(module).__name__
        raise UsageError(f"weight standardization is for Linear and convolutions, not for {kind}")
    transposed = getattr(module, "transposed", False)
    if transposed and module.groups != 1:
        raise UsageError("weight standardization of transposed convolutions needs groups=1")
    standardize = WeightStandardization(eps, transposed)
    standardize(module.weight.detach())  # raises where it cannot be
    transform_weights(module, "weight_standardization", standardize, ["weight"])
    return module
