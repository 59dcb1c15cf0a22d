"""When a run ends before its last step, and with which weights."""

import math
from dataclasses import dataclass, field

from normwise.stack.calling import Tensors
from normwise.stack.objective import Scores


@dataclass(frozen=True)
class Stopping:
    """What ends a run early, judged at every evaluation on the validation split.

    Attributes:
        patience: evaluations without a lower validation loss after which the run ends (early
            stopping: Prechelt, *Early Stopping - But When?*, 1998); None never ends it.
        target: value of the metric that ends the run when it is reached, or None.
        restore: whether the run ends with the weights of its lowest validation loss; else with
            those of its last step.

    Example:
        >>> Stopping(patience=5, restore=True).patience
        5
    """

    patience: int | None = None
    target: float | None = None
    restore: bool = False


NEVER = Stopping()
"""Nothing ends the run early."""


@dataclass
class Watch:
    """Follows the evaluations of one run.

    Attributes:
        stopping: what ends the run.
        loss: the lowest validation loss so far.
        step: when that was; None before any.
        waited: evaluations since then.
        weights: of that moment, where they are to be restored.

    Example:
        >>> watch = Watch(Stopping(patience=2))
        >>> [watch.ends(step, Scores(loss, 0.5)) for step, loss in enumerate([3.0, 1.0, 2.0, 1.5])]
        [False, False, False, True]
        >>> watch.step, watch.loss
        (1, 1.0)
    """

    stopping: Stopping
    loss: float = math.inf
    step: int | None = None
    waited: int = 0
    weights: Tensors = field(default_factory=dict)

    def ends(self, step: int, scores: Scores) -> bool:
        """Take note of an evaluation; tell whether the run ends with it."""
        if scores.loss < self.loss:
            self.loss, self.step, self.waited = scores.loss, step, 0
        else:
            self.waited += 1
        patience, target = self.stopping.patience, self.stopping.target
        out_of_patience = patience is not None and self.waited >= patience
        return out_of_patience or (target is not None and scores.metric >= target)

    def is_best(self, step: int) -> bool:
        """Tell whether the evaluation at this step was the best so far, and is worth keeping."""
        return self.stopping.restore and self.step == step
