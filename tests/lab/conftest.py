"""Budgets and data that make a claim cost a second."""

import pytest

from normwise.data import Data, load
from normwise.lab import Budget


@pytest.fixture(scope="session")
def digits() -> Data:
    """Return the digits."""
    return load("digits")


@pytest.fixture(scope="session")
def short() -> Budget:
    """Return a budget for training claims: the fewest seeds that can decide, a short training."""
    return Budget(seeds=6, length=0.5)
