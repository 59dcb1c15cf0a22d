"""A value that grows with the number of steps."""

from dataclasses import dataclass

from torch import Tensor

from normwise.errors import UsageError


@dataclass(frozen=True)
class Ramp:
    """A schedule: constant, then linear, then constant again.

    Args:
        first: the value up to the step `start`.
        last: the value from the step `stop` on.
        start: where it begins to change.
        stop: where it ends to; beyond `start`.

    Raises:
        UsageError: `stop` is not beyond `start`.

    Example:
        >>> import torch
        >>> r_max = Ramp(1, 3, start=5000, stop=40000)
        >>> [r_max(torch.tensor(step)).item() for step in (0, 22500, 100000)]
        [1.0, 2.0, 3.0]
    """

    first: float
    last: float
    start: int
    stop: int

    def __post_init__(self) -> None:
        if self.stop <= self.start:
            raise UsageError(
                f"start={self.start}, stop={self.stop}: a ramp takes at least one step, so let "
                "stop be larger than start"
            )

    def __call__(self, step: Tensor) -> Tensor:
        """Return the value at a step, a tensor of any shape."""
        passed = ((step - self.start) / (self.stop - self.start)).clamp(0, 1)
        return self.first + (self.last - self.first) * passed
