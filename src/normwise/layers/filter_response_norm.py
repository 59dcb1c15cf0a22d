"""Normalise every channel of every sample by its mean square."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from normwise.errors import Problems, UsageError
from normwise.layers.floating import check_floating


class FilterResponseNorm(nn.Module):
    r"""Filter response normalization, with its thresholded linear unit.

    $y = \max(\gamma x / \sqrt{\nu^2 + |\epsilon|} + \beta, \tau)$, where $\nu^2$ is the mean of
    $x^2$ over the positions of one channel of one sample. There is no batch in it, so training and
    evaluation are the same. Singh & Krishnan, *Filter Response Normalization Layer: Eliminating
    Batch Dependence in the Training of Deep Neural Networks*, 2020.

    Shape:
        - Input: `(N, C, *)` with at least one axis of positions
        - Output: that of the input

    Args:
        num_features: C.
        eps: ε. Default: 1e-6
        learn_eps: learn ε per channel, as the paper does (from 1e-4) where maps may have a single
            position. Default: False
        tlu: whether to end with the threshold τ, which then stands for the activation.
            Default: True
        device: of the parameters.
        dtype: of the parameters.

    Raises:
        UsageError: an argument is out of range, or the input has another shape or whole numbers.

    Example:
        >>> y = FilterResponseNorm(3, tlu=False)(7 * torch.randn(2, 3, 8, 8))
        >>> torch.allclose(y.square().mean((2, 3)), torch.ones(2, 3), atol=1e-4)
        True
    """

    normalizes: ClassVar[bool] = True

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-6,
        learn_eps: bool = False,
        tlu: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        problems = Problems()
        if num_features < 1:
            problems.add(f"FilterResponseNorm(num_features={num_features}): 1 or more")
        if not eps > 0:
            problems.add(f"FilterResponseNorm(eps={eps}): eps is positive")
        problems.raise_if_any()
        super().__init__()
        self.num_features, self.tlu = num_features, tlu
        self.weight = nn.Parameter(torch.ones(num_features, device=device, dtype=dtype))
        self.bias = nn.Parameter(torch.zeros(num_features, device=device, dtype=dtype))
        self.threshold = nn.Parameter(torch.zeros_like(self.bias)) if tlu else None
        self.eps = nn.Parameter(torch.full_like(self.bias, eps)) if learn_eps else eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise `x` over the positions of each channel and sample."""
        check_floating("FilterResponseNorm", x)
        if x.ndim < 3 or x.shape[1] != self.num_features:
            raise UsageError(
                f"FilterResponseNorm({self.num_features}) takes inputs of shape (N, C, *) with "
                f"C = {self.num_features} and positions to average over, and this one has shape "
                f"{tuple(x.shape)}"
            )
        wide = x.to(torch.promote_types(x.dtype, torch.float32))  # squares overflow in float16
        rows = wide.flatten(2)
        mean_square = torch.linalg.vecdot(rows, rows) / rows.shape[2]
        eps = self.eps.abs() if isinstance(self.eps, Tensor) else self.eps
        scale = (mean_square + eps).rsqrt() * self.weight
        y = torch.addcmul(_along(self.bias, x), wide, _along(scale, x))
        if self.threshold is not None:
            y = torch.clamp(y, min=_along(self.threshold, x))
        return y.to(x.dtype)

    def extra_repr(self) -> str:
        """Show the arguments."""
        eps = "learned" if isinstance(self.eps, Tensor) else self.eps
        return f"{self.num_features}, eps={eps}, tlu={self.tlu}"


def _along(channels: Tensor, x: Tensor) -> Tensor:
    """Let values per channel, or per sample and channel, broadcast along the positions of `x`."""
    return channels.view(*channels.shape, *(1,) * (x.ndim - 2))
