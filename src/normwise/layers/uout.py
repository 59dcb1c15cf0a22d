"""Dropout by uniform noise."""

import torch
from torch import Tensor

from normwise.layers.noise import Noise


class Uout(Noise):
    r"""Multiply by uniform noise, which moves the variance that a batch norm sees but little.

    $y = x (1 + r)$ with $r \sim U(-p, p)$ in training, and $y = x$ in evaluation: the variance of
    $y$ is $1 + p^2 / 3$ times that of a centred $x$, where dropout makes it $1 / (1 - p)$. The
    running statistics of a later batch norm, taken in training, so fit evaluation. Li et al.,
    *Understanding the Disharmony between Dropout and Batch Normalization by Variance Shift*, 2019.

    Shape:
        - Input: any
        - Output: that of the input

    Args:
        p: half the width of the noise, β in the paper, in [0, 1]. Default: 0.1
        inplace: overwrite the input. Default: False
        generator: draws the noise; None for torch's own random state. Default: None

    Raises:
        UsageError: `p` lies outside [0, 1].

    Example:
        >>> noise = Uout(0.1)(torch.ones(1000))
        >>> bool((noise - 1).abs().max() <= 0.1)
        True
    """

    def __init__(
        self, p: float = 0.1, inplace: bool = False, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__(p, inplace, generator=generator)

    def noise(self, x: Tensor) -> Tensor:
        """Return uniform noise around 1 for every element."""
        return x.new_empty(x.shape).uniform_(1 - self.p, 1 + self.p, generator=self.generator)
