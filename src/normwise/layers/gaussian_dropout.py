"""Dropout by Gaussian noise."""

import torch
from torch import Tensor

from normwise.errors import UsageError
from normwise.layers.noise import Noise


class GaussianDropout(Noise):
    r"""Multiply by Gaussian noise that has the mean and variance of dropout's.

    $y = x \xi$ with $\xi \sim N(1, p / (1 - p))$ in training, and $y = x$ in evaluation. Srivastava
    et al., *Dropout: A Simple Way to Prevent Neural Networks from Overfitting*, 2014, section 10;
    `keras.layers.GaussianDropout`.

    Shape:
        - Input: any
        - Output: that of the input

    Args:
        p: the probability of the dropout that has this variance, in [0, 1). Default: 0.5
        inplace: overwrite the input. Default: False
        generator: draws the noise; None for torch's own random state. Default: None

    Raises:
        UsageError: `p` lies outside [0, 1).

    Example:
        >>> _ = torch.manual_seed(0)
        >>> noise = GaussianDropout(0.2)(torch.ones(100_000))
        >>> round(noise.mean().item(), 2), round(noise.std().item(), 2)
        (1.0, 0.5)
    """

    def __init__(
        self, p: float = 0.5, inplace: bool = False, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__(p, inplace, generator=generator)
        self._check()

    def noise(self, x: Tensor) -> Tensor:
        """Return normal noise of mean 1 for every element."""
        self._check()  # p may have been set since
        std = (self.p / (1 - self.p)) ** 0.5
        return x.new_empty(x.shape).normal_(1.0, std, generator=self.generator)

    def _check(self) -> None:
        if self.p == 1:
            raise UsageError("GaussianDropout(p=1): p lies in [0, 1), the variance is p / (1 - p)")
