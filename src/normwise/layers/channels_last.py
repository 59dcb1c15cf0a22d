"""A norm that expects (N, C), over features that come last."""

from torch import Tensor, nn

from normwise.errors import UsageError
from normwise.layers.batch_norm_base import ExtendedBatchNorm


class ChannelsLast(nn.Module):
    """Apply a norm for `(N, C)` to `(N, *, C)`: every position counts as a sample.

    This is what batch normalization of a sequence of tokens means: one mean and one variance per
    feature, over the batch and all positions (Ioffe & Szegedy 2015, section 3.2, where the
    positions are those of an image).

    Shape:
        - Input: `(N, *, C)`
        - Output: `(N, *, C)`

    Args:
        norm: a norm over the last of two dimensions, such as `nn.BatchNorm1d(C)`.

    Raises:
        UsageError: the input has no batch, the mask does not fit, or the norm is torch's batch
            norm, which takes none.

    Example:
        >>> import torch
        >>> norm = ChannelsLast(nn.BatchNorm1d(8))
        >>> y = norm(torch.randn(4, 10, 8))
        >>> y.mean((0, 1)).abs().max().item() < 1e-5
        True
    """

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Normalise `x` of shape `(N, *, C)`, where a mask of shape `(N, *)` is True."""
        if x.ndim < 2:
            raise UsageError(
                f"ChannelsLast takes an input of shape (N, *, C), not {tuple(x.shape)}: one sample "
                "is a batch of one, x[None]"
            )
        if mask is not None and mask.shape != x.shape[:-1]:
            raise UsageError(
                f"mask has the shape {tuple(mask.shape)}, for an input of shape {tuple(x.shape)}: "
                f"it takes {tuple(x.shape[:-1])}, which is the input's without features"
            )
        torchs = isinstance(self.norm, nn.modules.batchnorm._BatchNorm)
        if mask is not None and torchs and not isinstance(self.norm, ExtendedBatchNorm):
            kind = type(self.norm).__name__
            raise UsageError(
                f"torch's {kind} takes no mask: give ChannelsLast a normwise.layers.{kind}, which "
                "has the same arguments and state dict"
            )
        masks = () if mask is None else (mask.flatten(),)
        return self.norm(x.flatten(0, -2), *masks).view_as(x)
