"""Drop square regions of feature maps."""

import torch
import torch.nn.functional as F
from torch import Tensor

from normwise.errors import Problems, UsageError
from normwise.layers.noise import Noise, draw_mask


class DropBlock2d(Noise):
    r"""Zero square regions of every feature map.

    Squares of side b around randomly drawn centres are zeroed; what is kept is divided by its share
    in the batch, so that the mean stays. Centres are drawn where the whole square fits, with
    probability $\gamma = \frac{p}{b^2} \cdot \frac{HW}{(H - b + 1)(W - b + 1)}$, so that about `p`
    of all is zeroed (rather less, since squares overlap). In evaluation it does nothing. Ghiasi et
    al., *DropBlock: A Regularization Method for Convolutional Networks*, 2018.

    Shape:
        - Input: `(N, C, H, W)`
        - Output: that of the input

    Args:
        p: the share of a map to be zeroed. Default: 0.1
        block_size: side of a square, in positions; on smaller maps it is their shorter side.
            Default: 7
        inplace: overwrite the input. Default: False
        generator: draws the centres; None for torch's own random state. Default: None

    Raises:
        UsageError: `p` or `block_size` is out of range, or the input is no batch of maps.

    Example:
        >>> dropped = DropBlock2d(0.2, block_size=3)(torch.ones(4, 8, 16, 16)) == 0
        >>> 0.1 < dropped.float().mean().item() < 0.3
        True
    """

    def __init__(
        self,
        p: float = 0.1,
        block_size: int = 7,
        inplace: bool = False,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        problems = Problems()
        if block_size < 1:
            problems.add(f"DropBlock2d(block_size={block_size}): a block has a side of 1 or more")
        with problems.collect():
            super().__init__(p, inplace, generator=generator)
        problems.raise_if_any()
        self.block_size = block_size

    def noise(self, x: Tensor) -> Tensor:
        """Return the mask of the maps, divided by the share that it keeps."""
        if x.ndim != 4 or 0 in x.shape[2:]:
            raise UsageError(
                f"DropBlock2d takes feature maps of shape (N, C, H, W), and this input has shape "
                f"{tuple(x.shape)}: nn.Dropout or nn.Dropout1d may be meant"
            )
        height, width = x.shape[2:]
        size = min(self.block_size, height, width)
        rows, columns = height - size + 1, width - size + 1
        gamma = self.p * (height * width / (size**2 * rows * columns))
        centres = draw_mask(x, (*x.shape[:2], rows, columns), 1 - gamma, self.generator).ne(0)
        kept = (~_grown(centres, size)).to(x.dtype)
        count = kept.sum(dtype=torch.promote_types(x.dtype, torch.float32))
        return kept * (kept.numel() / count.clamp(min=1)).to(x.dtype)

    def extra_repr(self) -> str:
        """Show the size of a block, too."""
        return f"{super().extra_repr()}, block_size={self.block_size}"


def _grown(corners: Tensor, size: int) -> Tensor:
    """Let every corner fill a square, along rows and then columns, by doubling."""
    grown = F.pad(corners, (0, size - 1, 0, size - 1))
    for axis in (-1, -2):
        side = 1
        while side < size:
            step = min(side, size - side)
            first, rest = grown.tensor_split([step], axis)
            moved = grown.narrow(axis, 0, rest.shape[axis])
            grown = torch.cat([first, rest | moved], axis)
            side += step
    return grown
