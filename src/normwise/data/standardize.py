"""Mean 0 and variance 1, from the training split alone."""

from dataclasses import dataclass

import numpy as np
import torch

_CACHED = 1 << 16  # values that are standardised at a time, in the processor's cache
CHUNK = 512  # samples taken to float64 at a time, so that memory holds no second dataset


@dataclass(frozen=True)
class Scale:
    """What to subtract and divide by, both float64 and broadcastable to a sample.

    numpy adds in one thread: the same data gives the same bits whatever the number of threads.
    """

    mean: np.ndarray
    std: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray) -> "Scale":
        """Measure samples of shape (N, F), per feature, or (N, C, ...), per channel."""
        moments = Moments()
        for start in range(0, len(x), CHUNK):
            moments.add(x[start : start + CHUNK])
        return moments.scale()

    def apply(self, x: np.ndarray) -> np.ndarray:
        """Standardise samples where they are, and return them."""
        mean, std, scaled = (torch.from_numpy(array) for array in (self.mean, self.std, x))
        for part in scaled.split(max(1, _CACHED // max(1, x[:1].size))):
            torch.div(torch.sub(part, mean), std, out=part)  # numpy takes twice as long
        return x


class Moments:
    """Mean and variance of samples that come in chunks of `CHUNK`, in one pass.

    The squares are taken of what is left after subtracting the mean of the chunk, so that a mean
    far from 0 costs no digits. A constant is to be centred exactly, and not divided.

    Source: Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing
    Sample Variances" (1979).
    """

    def __init__(self) -> None:
        self._count, self._dims = 0, 2
        self._mean, self._squares = np.zeros(1), np.zeros(1)
        self._lowest, self._highest = np.full(1, np.inf), np.full(1, -np.inf)

    def add(self, chunk: np.ndarray) -> None:
        """Take samples in."""
        self._dims = chunk.ndim
        # In one order in memory: numpy adds in another for another order.
        flat = np.ascontiguousarray(chunk, np.float64).reshape(*chunk.shape[:2], -1)
        new = flat.shape[0] * flat.shape[2]
        middle = flat.sum(axis=(0, 2)) / new
        squares = np.square(flat - middle[:, None]).sum(axis=(0, 2))
        shift = middle - self._mean
        share = new / (self._count + new)
        self._squares = self._squares + squares + np.square(shift) * (self._count * share)
        self._mean = self._mean + shift * share
        self._count += new
        self._lowest = np.minimum(self._lowest, flat.min(axis=(0, 2)))
        self._highest = np.maximum(self._highest, flat.max(axis=(0, 2)))

    def scale(self) -> Scale:
        """Return what to subtract and divide by."""
        constant = self._lowest == self._highest
        std = np.sqrt(self._squares / self._count)
        shape = (len(self._mean),) + (1,) * (self._dims - 2)
        return Scale(
            np.where(constant, self._lowest, self._mean).reshape(shape),
            np.where(constant, 1.0, std).reshape(shape),
        )
