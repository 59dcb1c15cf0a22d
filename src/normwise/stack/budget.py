"""How long a run trains."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """How long a run trains and when it is looked at.

    Attributes:
        steps: batches in all, each of which is a step of the optimizer, unless a recipe
            accumulates several for one.
        batch_size: samples in a batch.
        evaluate_every: steps between evaluations; there is one before the first step and one
            after the last, too.
        steps_per_epoch: steps in one pass over the training split.
        order: of the samples: one of `normwise.stack.ORDERS`.

    Example:
        >>> budget = Budget(steps=10, batch_size=64, evaluate_every=4)
        >>> [step for step in range(11) if budget.is_evaluation(step)]
        [0, 4, 8, 10]
    """

    steps: int
    batch_size: int
    evaluate_every: int
    steps_per_epoch: int = 1
    order: str = "shuffled"

    def is_evaluation(self, step: int) -> bool:
        """Tell whether the run is evaluated after this many steps."""
        return step % self.evaluate_every == 0 or step == self.steps
