"""A stand-in for layer norm that measures nothing."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from normwise.errors import UsageError


class DynamicTanh(nn.Module):
    r"""DyT: a scaled tanh in the place of a layer norm.

    $y = \gamma \tanh(\alpha x) + \beta$ with one learned α for all, and γ and β per feature. There
    are no statistics in it, so it costs no reduction. Zhu et al., *Transformers without
    Normalization*, 2025.

    Shape:
        - Input: `(*, normalized_shape)`, or `(N, C, *)` if not `channels_last`
        - Output: that of the input

    Args:
        normalized_shape: the last axes of the input, as in `nn.LayerNorm`; or C.
        alpha: α at the start. Default: 0.5
        channels_last: False takes features along axis 1, as convolutions have them. Default: True
        device: of the parameters.
        dtype: of the parameters.

    Raises:
        UsageError: the input has another shape.

    Example:
        >>> DynamicTanh(2)(torch.tensor([[0.0, 100.0]])).tolist()
        [[0.0, 1.0]]
    """

    normalizes: ClassVar[bool] = True

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        alpha: float = 0.5,
        channels_last: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        whole = isinstance(normalized_shape, int)
        self.normalized_shape = (normalized_shape,) if whole else tuple(normalized_shape)
        if not channels_last and len(self.normalized_shape) > 1:
            raise UsageError(
                f"DynamicTanh(normalized_shape={self.normalized_shape}, channels_last=False): give "
                "the number of channels alone"
            )
        self.channels_last = channels_last
        new = {"device": device, "dtype": dtype}
        self.alpha = nn.Parameter(torch.full((1,), float(alpha), **new))
        self.weight = nn.Parameter(torch.ones(self.normalized_shape, **new))
        self.bias = nn.Parameter(torch.zeros(self.normalized_shape, **new))

    def forward(self, x: Tensor) -> Tensor:
        """Squash `x`, then scale and shift every feature."""
        axes = len(self.normalized_shape)
        found = tuple(x.shape[-axes:] if self.channels_last else x.shape[1:2])
        if found != self.normalized_shape:
            where = "at the end" if self.channels_last else "along axis 1"
            raise UsageError(
                f"DynamicTanh takes inputs with {self.normalized_shape} {where}, and this one has "
                f"shape {tuple(x.shape)}"
            )
        along = self.normalized_shape if self.channels_last else (-1, *(1,) * (x.ndim - 2))
        weight, bias = self.weight.view(along), self.bias.view(along)
        return torch.addcmul(bias, torch.tanh(self.alpha * x), weight)

    def extra_repr(self) -> str:
        """Show the arguments."""
        last = "" if self.channels_last else ", channels_last=False"
        return f"{self.normalized_shape}{last}"
