"""Random changes of training samples: noise, shifts, rotations, erased parts.

Each transform draws numbers for every sample of a batch, and applies them to many samples at once,
so that the batches of many runs are changed together while each run draws from a stream of its own.
It works on the device of the samples, which are standardised as everywhere (`normwise.data.load`).

Shapes: N samples, C channels, H rows, W columns.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

_ERASED_AREA = (0.02, 1 / 3)  # share of an image, as its authors chose
_ERASED_RATIO = (0.3, 1 / 0.3)  # of height to width, likewise
_ERASED_SHARE = 0.5  # of images, likewise


@dataclass(frozen=True)
class Augmentation(ABC):
    """A random change of samples.

    Example:
        >>> x = torch.zeros(8, 1, 5, 5)
        >>> transform = Shift(2)
        >>> numbers = transform.draw(x, torch.Generator().manual_seed(0))
        >>> transform.apply(x, numbers).shape
        torch.Size([8, 1, 5, 5])
    """

    @abstractmethod
    def draw(self, x: Tensor, generator: Generator) -> Tensor:
        """Return random numbers for every sample of a batch, samples first.

        Args:
            x: the batch; only its shape, dtype and device count.
            generator: on its device.
        """

    @staticmethod
    @abstractmethod
    def apply(x: Tensor, numbers: Tensor) -> Tensor:
        """Return changed samples.

        Args:
            x: samples, which stay as they are.
            numbers: drawn for them; these may come from transforms with different settings.
        """

    def misfit(self, x: Tensor) -> str | None:
        """Say why samples cannot be changed so; None where they can."""
        if not x.is_floating_point():
            kind = str(x.dtype).removeprefix("torch.")
            return f"samples of floating-point numbers are needed, and these hold {kind}"
        return None


class _OfImages(Augmentation):
    """A change of images, (N, C, H, W)."""

    def misfit(self, x: Tensor) -> str | None:
        if x.ndim != 4:
            return f"images (C, H, W) are needed, and a sample has shape {tuple(x.shape[1:])}"
        return super().misfit(x)


@dataclass(frozen=True)
class Noise(Augmentation):
    """Adds normal noise: x + std ε, ε ~ N(0, 1) (Bishop 1995).

    Attributes:
        std: in units of the samples, which are standard deviations where they are standardised.

    Example:
        >>> Noise.apply(torch.ones(2), torch.tensor([0.5, -0.5]))
        tensor([1.5000, 0.5000])
    """

    std: float

    def draw(self, x: Tensor, generator: Generator) -> Tensor:
        """Return the noise, of the shape of `x`."""
        noise = torch.empty(x.shape, dtype=x.dtype, device=x.device)
        return noise.normal_(generator=generator).mul_(self.std)

    @staticmethod
    def apply(x: Tensor, numbers: Tensor) -> Tensor:
        """Add the noise."""
        return x + numbers


@dataclass(frozen=True)
class Shift(_OfImages):
    """Moves images by whole pixels, up to so many each way; what comes in repeats the edge.

    Attributes:
        pixels: largest shift along each axis; all from minus this to this are equally likely.

    Example:
        >>> x = torch.tensor([[[[1.0, 2.0, 3.0]]]])
        >>> Shift.apply(x, torch.tensor([[0, 1]]))
        tensor([[[[1., 1., 2.]]]])
    """

    pixels: int

    def draw(self, x: Tensor, generator: Generator) -> Tensor:
        """Return by how many rows and columns, (N, 2)."""
        return torch.randint(
            -self.pixels, self.pixels + 1, (len(x), 2), generator=generator, device=x.device
        )

    @staticmethod
    def apply(x: Tensor, numbers: Tensor) -> Tensor:
        """Move each image by its numbers of rows and columns."""
        n, channels, height, width = x.shape
        rows, columns = (
            (torch.arange(size, device=x.device) - moved[:, None]).clamp(0, size - 1)
            for size, moved in ((height, numbers[:, 0]), (width, numbers[:, 1]))
        )
        places = (rows[:, :, None] * width + columns[:, None]).view(n, 1, -1)
        return x.flatten(2).gather(2, places.expand(-1, channels, -1)).view(x.shape)

    def misfit(self, x: Tensor) -> str | None:
        """Say why samples cannot be shifted so far."""
        if x.ndim == 4 and self.pixels >= min(x.shape[2:]):
            height, width = x.shape[2:]
            return f"images of {height} x {width} would be shifted out of sight"
        return super().misfit(x)


@dataclass(frozen=True)
class Rotate(_OfImages):
    """Turns images about their centre, bilinearly; what comes in repeats the edge.

    Attributes:
        degrees: largest angle; all from minus this to this are equally likely.

    Example:
        >>> x = torch.arange(9.0).view(1, 1, 3, 3)
        >>> Rotate.apply(x, torch.tensor([torch.pi / 2])).round()
        tensor([[[[2., 5., 8.],
                  [1., 4., 7.],
                  [0., 3., 6.]]]])
    """

    degrees: float

    def draw(self, x: Tensor, generator: Generator) -> Tensor:
        """Return angles in radians, counter-clockwise, (N,)."""
        angles = torch.rand(len(x), generator=generator, dtype=x.dtype, device=x.device)
        return (2 * angles - 1) * math.radians(self.degrees)

    @staticmethod
    def apply(x: Tensor, numbers: Tensor) -> Tensor:
        """Turn each image by its angle."""
        height, width = x.shape[2:]
        down, right = (
            torch.arange(size, dtype=x.dtype, device=x.device) - (size - 1) / 2
            for size in (height, width)
        )
        down, right = down[None, :, None], right[None, None, :]
        sin, cos = numbers.sin()[:, None, None], numbers.cos()[:, None, None]
        # Where each pixel comes from; grid_sample has the edges at -1 and 1.
        rows = (cos * down + sin * right) / max((height - 1) / 2, 0.5)
        columns = (cos * right - sin * down) / max((width - 1) / 2, 0.5)
        grid = torch.stack([columns, rows], -1)
        return F.grid_sample(x, grid, padding_mode="border", align_corners=True)


@dataclass(frozen=True)
class Erase(_OfImages):
    """Sets a rectangle of every second image to 0, the mean (random erasing, Zhong et al. 2020).

    Its area is a share from 0.02 to 1/3 of the image, its ratio of height to width from 0.3 to
    1/0.3, log-uniformly; sides longer than the image's are cut off.

    Example:
        >>> x = torch.ones(1, 1, 2, 4)
        >>> Erase.apply(x, torch.tensor([[0, 1, 2, 2]]))
        tensor([[[[1., 0., 0., 1.],
                  [1., 0., 0., 1.]]]])
    """

    def draw(self, x: Tensor, generator: Generator) -> Tensor:
        """Return first row, first column, height and width of each rectangle, (N, 4)."""
        size = torch.tensor(x.shape[2:], dtype=torch.float64, device=x.device)
        uniform = torch.rand(len(x), 5, generator=generator, dtype=torch.float64, device=x.device)
        (least, most), (flat, steep) = _ERASED_AREA, map(math.log, _ERASED_RATIO)
        area = (least + (most - least) * uniform[:, 0]) * size.prod()
        tall = ((flat + (steep - flat) * uniform[:, 1]) / 2).exp()
        root = area.sqrt()
        sides = torch.stack([root * tall, root / tall], 1).round().minimum(size)
        sides = sides * (uniform[:, 4:] < _ERASED_SHARE)
        begins = (uniform[:, 2:4] * (size - sides + 1)).floor()
        return torch.cat([begins, sides], 1).long()

    @staticmethod
    def apply(x: Tensor, numbers: Tensor) -> Tensor:
        """Set each image's rectangle to 0."""
        rows, columns = (
            _within(x.shape[2 + axis], numbers[:, axis], numbers[:, 2 + axis]) for axis in (0, 1)
        )
        return x.masked_fill((rows[:, :, None] & columns[:, None])[:, None], 0)


def _within(size: int, begin: Tensor, length: Tensor) -> Tensor:
    """Tell which places of an axis lie in each sample's stretch, (N, size)."""
    places = torch.arange(size, device=begin.device)
    return (places >= begin[:, None]) & (places < (begin + length)[:, None])
