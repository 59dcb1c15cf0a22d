"""What a run minimises and how it is scored: a loss and a metric of output and target."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from normwise.errors import UsageError

Loss = Callable[[Tensor, Tensor], Tensor]

LOSSES: dict[str, Loss] = {
    "cross_entropy": F.cross_entropy,
    "nll_loss": F.nll_loss,
    "binary_cross_entropy_with_logits": F.binary_cross_entropy_with_logits,
    "mse_loss": F.mse_loss,
    "l1_loss": F.l1_loss,
    "smooth_l1_loss": F.smooth_l1_loss,
    "huber_loss": F.huber_loss,
}


class Objective:
    """Loss and metric of a task.

    Classes are scored by accuracy, `acc`: the share of samples whose largest output is at the
    target (or, with a single output, whose logit's sign is right). Regression is scored by `r2`,
    the coefficient of determination averaged over the outputs: 1 - SSE / SST.

    Args:
        task: `classes` or `regression`.
        loss: a function of output and target that returns their mean loss, one of the names in
            `LOSSES`, or None: cross-entropy (binary, from logits, where the network has a single
            output), or the mean squared error.

    Example:
        >>> import torch
        >>> objective = Objective("classes")
        >>> logits, target = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0])
        >>> round(objective.loss(logits, target).item(), 4), objective.metric
        (0.7201, 'acc')
    """

    def __init__(self, task: str, loss: str | Loss | None = None) -> None:
        self.task = task
        self.metric = "acc" if task == "classes" else "r2"
        self._loss = LOSSES[loss] if isinstance(loss, str) else loss

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

    def _smoothed(self, output: Tensor, target: Tensor, label_smoothing: float) -> Tensor:
        plain = self._loss is None or self._loss is F.cross_entropy
        if self.task != "classes" or output.ndim == target.ndim or not plain:
            raise UsageError(
                f"label_smoothing={label_smoothing:g} is for the cross-entropy of two or more "
                "outputs, and this training has another loss: leave it out"
            )
        return F.cross_entropy(output, target, label_smoothing=label_smoothing)

    def tally(self, output: Tensor, target: Tensor) -> Tensor:
        """Return what adds up over batches to the metric: hits, or squared errors per output."""
        output, target = self._aligned(output, target)
        if self.task == "regression":
            return (output.double() - target.double()).square().flatten(1).sum(0)
        guess = (output > 0).long() if output.ndim == target.ndim else output.argmax(1)
        return (guess == target).sum().double()

    def score(self, tally: Tensor, target: Tensor) -> float:
        """Return the metric from the tally over all of `target`."""
        if self.task == "classes":
            return (tally / target.numel()).item()
        target = target.double().flatten(1) if target.ndim > 1 else target.double()[:, None]
        spread = (target - target.mean(0)).square().sum(0)
        return (1 - tally / spread).mean().item()

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
