"""What the loop, the planner and the study ask of runs that train together."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor, nn

from normwise.data import Split
from normwise.samples import Samples, Targets
from normwise.stack.calling import Tensors
from normwise.stack.objective import Scores


class Stack(Protocol):
    """Runs of one architecture that train together.

    Example:
        >>> from normwise.stack import Alone, Objective, Recipe
        >>> stack: Stack = Alone(nn.Linear(2, 1), Recipe(), Objective("regression"))
        >>> stack.size
        1
    """

    @property
    def size(self) -> int:
        """How many runs there are."""
        ...

    @property
    def batches(self) -> int:
        """How many batches a step takes: run r trains on number r modulo this."""
        ...

    @property
    def rates(self) -> list[float]:
        """The learning rate of every run's next step."""
        ...

    def step(self, x: Samples, y: Targets) -> Tensor:
        """Update every run on its batch; return the losses, shape (size,).

        Nothing here waits for the device.

        Args:
            x: samples, shape (batches, samples, ...).
            y: targets.
        """
        ...

    def evaluate(self, split: Split, runs: Sequence[int] | None = None) -> list[Scores]:
        """Return the loss and metric of some runs, or of all, on a split, in evaluation mode."""
        ...

    def evaluated(self, losses: Sequence[float]) -> None:
        """Take note of every run's loss on the validation split, after an evaluation."""
        ...

    def network(self, run: int) -> nn.Module:
        """Return one run's network as it is now."""
        ...

    def weights(self, run: int) -> Tensors:
        """Return copies of one run's parameters and buffers."""
        ...

    def restore(self, run: int, weights: Tensors) -> None:
        """Give one run parameters and buffers that it had."""
        ...

    def keep(self, runs: Sequence[int]) -> None:
        """Go on with these runs only."""
        ...
