"""Random numbers that depend on the seed and their purpose, and on nothing else."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derive(seed: int, purpose: str) -> int:
    """Return an independent seed for one purpose of a run, such as its data order.

    Drawing the order and the dropout masks from streams of their own keeps runs paired: a variant
    with one more dropout layer still sees the same batches.

    Args:
        seed: the run's seed, 0 or more.
        purpose: what the numbers are for.

    Example:
        >>> derive(0, "order") == derive(0, "order"), derive(0, "order") == derive(0, "dropout")
        (True, False)
    """
    words = np.random.SeedSequence([seed, *purpose.encode()]).generate_state(2, np.uint32)
    return int(words[0]) << 31 | int(words[1]) >> 1


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch, NumPy and Python inside; restore their random states on leaving.

    Args:
        seed: given to `torch.manual_seed`, `numpy.random.seed` and `random.seed` as it is, so that
            a network built here equals one built by hand after `torch.manual_seed(seed)`.

    Example:
        >>> with seeded(3):
        ...     inside = torch.rand(2)
        >>> torch.equal(inside, torch.rand(2, generator=torch.Generator().manual_seed(3)))
        True
    """
    numpy_state, python_state = np.random.get_state(), random.getstate()
    devices = list(range(torch.cuda.device_count()))
    with torch.random.fork_rng(devices=devices):
        try:
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)
            random.seed(seed)
            yield
        finally:
            np.random.set_state(numpy_state)
            random.setstate(python_state)
