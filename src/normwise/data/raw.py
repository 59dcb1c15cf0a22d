"""What a source holds, before anyone has looked at it."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Raw:
    """Samples and targets, in whatever form they came.

    Attributes:
        name: what the data is called.
        train: `(x, y)`: all samples, or those that are not the source's own test split.
        test: `(x, y)`, or None where the source has no test split of its own.
    """

    name: str
    train: tuple[Any, Any]
    test: tuple[Any, Any] | None = None
