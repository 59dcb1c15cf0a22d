"""torch's optimizers by name."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

OPTIMIZERS = ("sgd", "adam", "adamw")


@dataclass(frozen=True)
class Recipe:
    """How one run updates its weights; names, meaning and defaults are those of `torch.optim`.

    Attributes:
        optimizer: `sgd`, `adam` or `adamw`.
        lr: learning rate.
        momentum: of SGD.
        nesterov: Nesterov's momentum, for SGD.
        weight_decay: an L2 term in the gradient for SGD and Adam, decoupled for AdamW; None means
            torch's default (0, for AdamW 0.01).

    Example:
        >>> Recipe("sgd", lr=0.1, momentum=0.9).build(nn.Linear(2, 1).parameters())
        SGD (
        ...
    """

    optimizer: str = "sgd"
    lr: float = 0.01
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float | None = None

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Return torch's optimizer for these parameters."""
        decay = {} if self.weight_decay is None else {"weight_decay": self.weight_decay}
        match self.optimizer:
            case "sgd":
                return torch.optim.SGD(
                    parameters, self.lr, self.momentum, nesterov=self.nesterov, **decay
                )
            case "adam":
                return torch.optim.Adam(parameters, self.lr, **decay)
            case _:
                return torch.optim.AdamW(parameters, self.lr, **decay)
