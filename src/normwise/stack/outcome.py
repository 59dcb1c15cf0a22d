"""What becomes of a run."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Evaluation:
    """What a run had reached after `step` steps.

    Attributes:
        step: optimizer steps taken.
        train_loss: mean loss of the batches since the evaluation before, in training mode; NaN at
            step 0.
        val_loss: mean loss on the validation split, in evaluation mode.
        val_metric: accuracy or R² there.
        heads: the metric of each, where there are several.
        lr: the learning rate of the next step.

    Example:
        >>> Evaluation(step=100, train_loss=0.3, val_loss=0.4, val_metric=0.9).val_metric
        0.9
    """

    step: int
    train_loss: float
    val_loss: float
    val_metric: float
    heads: Mapping[str, float] = field(default_factory=dict)
    lr: float = math.nan


@dataclass
class Outcome:
    """How one run went.

    Attributes:
        status: `done`, or `diverged` where the loss became NaN or infinite.
        steps: optimizer steps taken.
        evaluations: in order of step.
        test_loss: of the final network, measured once; NaN for a diverged run.
        test_metric: accuracy or R² there.
        seconds: of training and evaluation; a stack shares its time out evenly.

    Example:
        >>> Outcome().status, Outcome().evaluations
        ('done', [])
    """

    status: str = "done"
    steps: int = 0
    evaluations: list[Evaluation] = field(default_factory=list)
    test_loss: float = math.nan
    test_metric: float = math.nan
    seconds: float = 0.0
