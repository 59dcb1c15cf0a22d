"""What a run minimises and how it is scored: a loss and a metric of output and target."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from normwise.errors import UsageError

Loss = Callable[[Tensor, Tensor], Tensor]
Metric = Callable[[Tensor, Tensor], Any]

LOSSES: dict[str, Loss] = {
    "cross_entropy": F.cross_entropy,
    "nll_loss": F.nll_loss,
    "binary_cross_entropy_with_logits": F.binary_cross_entropy_with_logits,
    "mse_loss": F.mse_loss,
    "l1_loss": F.l1_loss,
    "smooth_l1_loss": F.smooth_l1_loss,
    "huber_loss": F.huber_loss,
}


class Scores(NamedTuple):
    """How good a network is on a split.

    Attributes:
        loss: mean over the samples.
        metric: higher is better.
        heads: the metric of each, where there are several.

    Example:
        >>> Scores(loss=0.3, metric=0.9).metric
        0.9
    """

    loss: float
    metric: float
    heads: Mapping[str, float] = {}


class Goal(Protocol):
    """What runs minimise and are scored by: an `Objective`, or one for each of several heads.

    Example:
        >>> goal: Goal = Objective("classes")
        >>> goal.metric
        'acc'
    """

    metric: str
    """What the score is called in tables: `acc`, `r2`, `score`, or a metric's own name."""

    def loss(self, output: Any, target: Any, label_smoothing: float = 0.0) -> Tensor:
        """Return the mean loss of a batch, a scalar."""
        ...

    def confidence(self, output: Any, target: Any) -> Tensor:
        """Return the negative entropy of the predicted classes, a scalar."""
        ...

    def tally(self, output: Any, target: Any) -> Any:
        """Return what a part of a split contributes to the score."""
        ...

    def score(self, tallies: Sequence[Any], target: Any) -> tuple[float, Mapping[str, float]]:
        """Return the score from the tallies of all parts, and the scores of the heads."""
        ...


class Objective:
    """Loss and metric of a task.

    Classes are scored by accuracy, `acc`: the share of samples whose largest output is at the
    target (or, with a single output, whose logit's sign is right). Regression is scored by `r2`,
    the coefficient of determination averaged over the outputs: 1 - SSE / SST; an output whose
    target is constant counts as 0, or as 1 where it is hit exactly, as in scikit-learn.

    Args:
        task: `classes` or `regression`.
        loss: a function of output and target that returns their mean loss, one of the names in
            `LOSSES`, or None: cross-entropy (binary, from logits, where the network has a single
            output), or the mean squared error.
        metric: a function of the outputs and targets of a whole split that returns a number,
            the higher the better, in place of the task's own.

    Example:
        >>> import torch
        >>> objective = Objective("classes")
        >>> logits, target = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0])
        >>> round(objective.loss(logits, target).item(), 4), objective.metric
        (0.7201, 'acc')
    """

    def __init__(
        self, task: str, loss: str | Loss | None = None, metric: Metric | None = None
    ) -> None:
        self.task = task
        self.metric = "acc" if task == "classes" else "r2"
        if metric is not None:
            self.metric = getattr(metric, "__name__", type(metric).__name__)
        self._loss = LOSSES[loss] if isinstance(loss, str) else loss
        self._metric = metric

    def loss(self, output: Tensor, target: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """Return the mean loss of a batch, a scalar.

        Args:
            output: of the network.
            target: likewise.
            label_smoothing: as in `torch.nn.functional.cross_entropy`.

        Raises:
            UsageError: labels are to be smoothed, and the loss is another.
        """
        output, target = self._aligned(output, target)
        single = self.task == "classes" and output.ndim == target.ndim
        if single:
            target = target.to(output.dtype)  # the probability of class 1
        if label_smoothing:
            return self._smoothed(output, target, label_smoothing)
        if self._loss is not None:
            return self._loss(output, target)
        if self.task == "regression":
            return F.mse_loss(output, target)
        return (F.binary_cross_entropy_with_logits if single else F.cross_entropy)(output, target)

    def confidence(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the negative entropy of the predicted classes, the mean over a batch: Σ p log p.

        p is the softmax of the output, or for a single logit its sigmoid and the rest. Added to the
        loss, times a strength, it is the bonus for entropy of Pereyra et al. 2017.

        Args:
            output: of the network.
            target: likewise.

        Raises:
            UsageError: there are no classes.
        """
        if self.task != "classes":
            raise UsageError("entropy is that of predicted classes, and this is a regression")
        output, target = self._aligned(output, target)
        if output.ndim == target.ndim:
            output = torch.stack([output, torch.zeros_like(output)], 1)
        log_p = output.log_softmax(1)
        return (log_p.exp() * log_p).sum(1).mean()

    def _smoothed(self, output: Tensor, target: Tensor, label_smoothing: float) -> Tensor:
        plain = self._loss is None or self._loss is F.cross_entropy
        if self.task != "classes" or output.ndim == target.ndim or not plain:
            raise UsageError(
                f"label_smoothing={label_smoothing:g} is for the cross-entropy of two or more "
                "outputs, and this training has another loss: leave it out"
            )
        return F.cross_entropy(output, target, label_smoothing=label_smoothing)

    def tally(self, output: Tensor, target: Tensor) -> Tensor:
        """Return what adds up to the metric: hits, or squared errors per output.

        For a metric of the user's own, that is the output itself.
        """
        if self._metric is not None:
            return output
        output, target = self._aligned(output, target)
        if self.task == "regression":
            return (output.double() - target.double()).square().flatten(1).sum(0)
        guess = (output > 0).long() if output.ndim == target.ndim else output.argmax(1)
        return (guess == target).sum().double()

    def score(self, tallies: Sequence[Tensor], target: Tensor) -> tuple[float, Mapping[str, float]]:
        """Return the metric from the tallies over all of `target`; there are no heads."""
        if self._metric is not None:
            return _number(self._metric(torch.cat(list(tallies)), target), self.metric), {}
        tally = torch.stack(list(tallies)).sum(0)
        if self.task == "classes":
            return (tally / target.numel()).item(), {}
        target = target.double().flatten(1) if target.ndim > 1 else target.double()[:, None]
        spread = (target - target.mean(0)).square().sum(0)
        constant = (tally == 0).double()
        return torch.where(spread > 0, 1 - tally / spread, constant).mean().item(), {}

    def _aligned(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Bring output and target into the shapes that the losses expect.

        An output (N, 1) for a target (N,) would broadcast to (N, N); per-position classes (N, L, C)
        become (N * L, C).
        """
        if output.ndim == target.ndim + 1 and output.shape[-1] == 1:
            output = output.squeeze(-1)
        if self.task == "classes" and output.ndim == target.ndim + 1 and target.ndim > 1:
            return output.flatten(0, -2), target.flatten()
        if self.task == "regression" and output.ndim == 1:
            return output[:, None], target[:, None]
        return output, target


def minimised(
    goal: Goal, output: Any, target: Any, label_smoothing: float, entropy: float
) -> tuple[Tensor, Tensor]:
    """Return the loss of a batch that is reported, and the one that is minimised.

    Args:
        goal: tells them.
        output: of the network.
        target: likewise.
        label_smoothing: as in the goal's `loss`.
        entropy: strength of the bonus for entropy, which only the second has.

    Example:
        >>> output, target = torch.zeros(2, 2), torch.tensor([0, 1])
        >>> told, whole = minimised(Objective("classes"), output, target, 0.0, 0.5)
        >>> round((told - whole).item(), 4)  # half of ln 2
        0.3466
    """
    loss = goal.loss(output, target, label_smoothing)
    return loss, loss + entropy * goal.confidence(output, target) if entropy else loss


def _number(value: Any, name: str) -> float:
    """What a metric of the user's returned, as a number."""
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"metric {name} returned a {type(value).__name__}: it must return one number, the "
            "higher the better"
        ) from error
