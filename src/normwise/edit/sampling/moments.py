"""Mean and standard deviation of samples that come in blocks."""

import torch
from torch import Tensor

from normwise.edit.pooling import Pool


class Moments:
    """Takes in samples block by block, in float64.

    Example:
        >>> moments = Moments()
        >>> moments.add(torch.tensor([[1.0], [2.0]]))
        >>> moments.add(torch.tensor([[3.0]]))
        >>> moments.mean, moments.std
        (tensor([2.]), tensor([1.]))
    """

    def __init__(self) -> None:
        self._pool, self._dtype = Pool(), torch.get_default_dtype()

    def add(self, block: Tensor) -> None:
        """Take in samples of shape (samples, *)."""
        if block.is_floating_point() or block.is_complex():
            self._dtype = block.dtype
        block = block.to(torch.complex128 if block.is_complex() else torch.float64)
        mean = block.mean(0)
        self._pool.add((len(block), mean, (block - mean).abs().square().mean(0)))

    @property
    def mean(self) -> Tensor:
        """The mean, in the dtype of the samples, or torch's default for integers."""
        return self._pool.joined()[1].to(self._dtype)

    @property
    def std(self) -> Tensor:
        """The standard deviation with Bessel's correction."""
        count, _, variance = self._pool.joined()
        return (variance * (count / (count - 1))).sqrt().to(self._dtype.to_real())
