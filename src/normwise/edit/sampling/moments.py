"""Mean and standard deviation of values that come in blocks."""

import torch
from torch import Tensor


class Moments:
    """Takes in samples block by block, in float64, by the pairwise update of Chan et al. (1983).

    Example:
        >>> moments = Moments()
        >>> moments.add(torch.tensor([[1.0], [2.0]]))
        >>> moments.add(torch.tensor([[3.0]]))
        >>> moments.mean, moments.std
        (tensor([2.]), tensor([1.]))
    """

    def __init__(self) -> None:
        self._count, self._dtype = 0, torch.get_default_dtype()
        self._mean = self._squares = torch.zeros(())

    def add(self, block: Tensor) -> None:
        """Take in samples of shape (samples, *)."""
        if block.is_floating_point() or block.is_complex():
            self._dtype = block.dtype
        block = block.to(torch.complex128 if block.is_complex() else torch.float64)
        count, mean = len(block), block.mean(0)
        squares = (block - mean).abs().square().sum(0)
        total = self._count + count
        apart = mean - self._mean if self._count else torch.zeros_like(mean)
        between = apart.abs().square() * (self._count * count / total)
        self._squares = squares + between + (self._squares if self._count else 0)
        self._mean = mean - apart * (self._count / total)
        self._count = total

    @property
    def mean(self) -> Tensor:
        """The mean, in the dtype of the samples, or torch's default for integers."""
        return self._mean.to(self._dtype)

    @property
    def std(self) -> Tensor:
        """The standard deviation with Bessel's correction."""
        return (self._squares / (self._count - 1)).sqrt().to(self._dtype.to_real())
