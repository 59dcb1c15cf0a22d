"""What all dropouts share: in training, and only there, the input is multiplied by noise."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from normwise.errors import Problems, UsageError

SCALINGS = ("inverted", "classic")


class Noise(nn.modules.dropout._DropoutNd):
    """The base of dropouts: multiplies by `noise(x)` in training. A subclass says what that is.

    It derives from the base of torch's own dropouts, so that whatever looks for those finds it.

    Args:
        p: the strength of the noise.
        inplace: overwrite the input.
        generator: draws the noise; None for torch's own random state. `torch.compile` cannot draw
            from a generator within a graph, and breaks the graph there.

    Example:
        >>> class Signs(Noise):
        ...     def noise(self, x):
        ...         return torch.ones_like(x).neg()
        >>> Signs()(torch.ones(2)), Signs().eval()(torch.ones(2))
        (tensor([-1., -1.]), tensor([1., 1.]))
    """

    def __init__(
        self, p: float = 0.5, inplace: bool = False, *, generator: torch.Generator | None = None
    ) -> None:
        if not 0 <= p <= 1:
            raise UsageError(f"{type(self).__name__}(p={p}): p lies between 0 and 1")
        super().__init__(p, inplace)
        self.generator = generator

    def noise(self, x: Tensor) -> Tensor:
        """Return what to multiply `x` by; it broadcasts to the shape of `x`."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Multiply `x` by noise in training."""
        if not self.training:
            return x
        noise = self.noise(x)
        return x.mul_(noise) if self.inplace else x * noise


class Mask(Noise):
    """Noise that is 0 with probability `p`. A subclass says what is dropped together.

    Args:
        p: probability of 0.
        inplace: overwrite the input.
        scaling: `inverted` divides what is kept by `1 - p` in training; `classic` leaves it as it
            is, and multiplies by `1 - p` in evaluation (Srivastava et al. 2014, section 4).
        generator: draws the mask; None for torch's own random state.

    Example:
        >>> class Rows(Mask):
        ...     def mask_shape(self, x):
        ...         return len(x), 1
        >>> Rows(p=1.0)(torch.ones(2, 3)).sum()
        tensor(0.)
    """

    def __init__(
        self,
        p: float = 0.5,
        inplace: bool = False,
        *,
        scaling: str = "inverted",
        generator: torch.Generator | None = None,
    ) -> None:
        problems = Problems()
        if scaling not in SCALINGS:
            name = type(self).__name__
            problems.add(f"{name}(scaling={scaling!r}): use {' or '.join(SCALINGS)}")
        with problems.collect():
            super().__init__(p, inplace, generator=generator)
        problems.raise_if_any()
        self.scaling = scaling

    def mask_shape(self, x: Tensor) -> Sequence[int]:
        """Return the shape of the mask, which broadcasts to that of `x`."""
        raise NotImplementedError

    def noise(self, x: Tensor) -> Tensor:
        """Return the mask: 0 with probability p, else 1 / (1 - p), or 1 for classic scaling."""
        mask = draw_mask(x, self.mask_shape(x), self.p, self.generator)
        return mask if self.scaling == "inverted" else mask.ne(0).to(x.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Multiply `x` by a mask in training; by `1 - p` in evaluation for classic scaling."""
        if self.training or self.scaling == "inverted":
            return super().forward(x)
        return x.mul_(1 - self.p) if self.inplace else x * (1 - self.p)

    def extra_repr(self) -> str:
        """Show what is not as usual, too."""
        classic = "" if self.scaling == "inverted" else f", scaling={self.scaling!r}"
        return super().extra_repr() + classic


def draw_mask(
    x: Tensor, shape: Sequence[int], p: float, generator: torch.Generator | None
) -> Tensor:
    """Return 0 with probability p, else 1 / (1 - p), in dtype and on the device of `x`.

    Example:
        >>> draw_mask(torch.zeros(3), (2, 2), 0.0, None)
        tensor([[1., 1.],
                [1., 1.]])
    """
    if generator is None:  # the same numbers, by the function that a stack of runs knows
        return F.dropout(x.new_ones(shape), p)
    if p == 1:
        return x.new_zeros(shape)
    return x.new_empty(shape).bernoulli_(1 - p, generator=generator).div_(1 - p)
