"""What one of several heads of a network is to predict."""

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Head:
    """What one of several heads is to predict.

    Attributes:
        task: ``"classes"`` or ``"regression"``.
        classes: the number of classes C, or None for a regression.
        labels: what the user called the classes 0..C-1; empty for a regression.

    Example:
        >>> Head("classes", 2, ("left", "right")).classes
        2
    """

    task: Literal["classes", "regression"]
    classes: int | None = None
    labels: tuple[Any, ...] = ()
