"""Mean 0 and variance 1, from the training split alone."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

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
        """Measure samples of shape (N, F), per feature, or (N, C, ...), per channel.

        In two passes: the squares are taken of what is left after subtracting the mean, so that a
        mean far from 0 costs no digits. A constant is to be centred exactly, and not divided.
        """
        flat = x.reshape(len(x), x.shape[1], -1)
        count = flat.shape[0] * flat.shape[2]
        mean, squares = np.zeros(x.shape[1]), np.zeros(x.shape[1])
        for part in _chunks(flat):
            mean += part.sum(axis=(0, 2)) / count
        for part in _chunks(flat):
            squares += np.square(part - mean[:, None]).sum(axis=(0, 2))
        std = np.sqrt(squares / count)
        lowest, highest = flat.min(axis=(0, 2)), flat.max(axis=(0, 2))
        constant = lowest == highest
        shape = (x.shape[1],) + (1,) * (x.ndim - 2)
        return cls(
            np.where(constant, lowest, mean).reshape(shape),
            np.where(constant, 1.0, std).reshape(shape),
        )

    def apply(self, x: np.ndarray) -> np.ndarray:
        """Return samples standardised, as a new array of the same dtype."""
        out = np.empty_like(x)
        for start in range(0, len(x), CHUNK):
            part = x[start : start + CHUNK].astype(np.float64)
            out[start : start + CHUNK] = (part - self.mean) / self.std
        return out


def _chunks(x: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(x), CHUNK):
        yield x[start : start + CHUNK].astype(np.float64)
