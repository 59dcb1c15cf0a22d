"""Several heads: a dict of outputs and targets, a weighted sum of losses, a metric for each."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from normwise.data import Data
from normwise.errors import UsageError
from normwise.stack.objective import Goal, Loss, Metric, Objective

Losses = str | Loss | Mapping[str, str | Loss] | None
Metrics = Metric | Mapping[str, Metric] | None


class Heads:
    """The objectives of several heads.

    The loss is the sum of the heads' losses, each times its weight; the score is the mean of their
    metrics, each weighing the same.

    Args:
        objectives: by head.
        weights: of the losses, by head; 1 for those left out.

    Example:
        >>> import torch
        >>> heads = Heads({"a": Objective("regression"), "b": Objective("regression")}, {"b": 0.5})
        >>> zeros, ones = torch.zeros(2), torch.ones(2)
        >>> heads.loss({"a": zeros, "b": zeros}, {"a": ones, "b": ones}).item()
        1.5
    """

    metric = "score"

    def __init__(
        self, objectives: Mapping[str, Objective], weights: Mapping[str, float] | None = None
    ) -> None:
        self._objectives = dict(objectives)
        self._weights = {name: (weights or {}).get(name, 1.0) for name in objectives}

    def loss(
        self, output: Mapping[str, Tensor], target: Mapping[str, Tensor], label_smoothing: float = 0
    ) -> Tensor:
        """Return the weighted sum of the heads' mean losses; labels of all classes are smoothed."""
        losses = [
            weight * self._loss(name, output[name], target[name], label_smoothing)
            for name, weight in self._weights.items()
        ]
        return sum(losses[1:], losses[0])

    def _loss(self, name: str, output: Tensor, target: Tensor, label_smoothing: float) -> Tensor:
        objective = self._objectives[name]
        smoothing = label_smoothing if objective.task == "classes" else 0.0
        return objective.loss(output, target, smoothing)

    def confidence(self, output: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Tensor:
        """Return the negative entropies of the heads that predict classes, weighted as the losses.

        Raises:
            UsageError: there are no such heads.
        """
        terms = [
            self._weights[name] * objective.confidence(output[name], target[name])
            for name, objective in self._objectives.items()
            if objective.task == "classes"
        ]
        if not terms:
            raise UsageError("entropy is that of predicted classes, and no head predicts any")
        return sum(terms[1:], terms[0])

    def tally(
        self, output: Mapping[str, Tensor], target: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return the tally of each head."""
        return {
            name: objective.tally(output[name], target[name])
            for name, objective in self._objectives.items()
        }

    def score(
        self, tallies: Sequence[Mapping[str, Tensor]], target: Mapping[str, Tensor]
    ) -> tuple[float, Mapping[str, float]]:
        """Return the mean of the heads' metrics, and each by name, such as `digit_acc`."""
        heads = {
            f"{name}_{objective.metric}": objective.score(
                [tally[name] for tally in tallies], target[name]
            )[0]
            for name, objective in self._objectives.items()
        }
        return sum(heads.values()) / len(heads), heads


def goal_of(
    data: Data,
    loss: Losses = None,
    metric: Metrics = None,
    loss_weights: Mapping[str, float] | None = None,
) -> Goal:
    """Return what runs on some data minimise and are scored by.

    Args:
        data: tells the task, of each head where there are several.
        loss: of the task, or a dict of them by head; see `Objective`.
        metric: likewise.
        loss_weights: of the heads.

    Example:
        >>> from normwise.data import load
        >>> goal_of(load("digits")).metric
        'acc'
    """
    if data.task != "heads":
        return Objective(data.task, loss, metric)  # type: ignore[arg-type]
    return Heads(
        {
            name: Objective(head.task, _of(loss, name), _of(metric, name))
            for name, head in data.heads.items()
        },
        loss_weights,
    )


def _of(choice: Any, head: str) -> Any:
    return choice.get(head) if isinstance(choice, Mapping) else choice
