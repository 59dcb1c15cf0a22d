"""How one run is trained: torch's optimizer by name, and what goes with it."""

from collections.abc import Hashable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from normwise.stack.augmenting import Steps
from normwise.stack.penalties import PENALTIES, Penalties, Penalty
from normwise.stack.schedules import CONSTANT, Dial, Schedule
from normwise.stack.stopping import NEVER, Stopping

OPTIMIZERS = ("sgd", "adam", "adamw")

_KINDS: dict[str, type[torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}
_FUSED_ON = ("cpu", "cuda")


@dataclass(frozen=True)
class Recipe:
    """How one run is trained; names, meaning and defaults are those of torch.

    Attributes:
        optimizer: `sgd`, `adam` or `adamw`.
        lr: learning rate.
        momentum: of SGD.
        nesterov: Nesterov's momentum, for SGD.
        weight_decay: an L2 term in the gradient for SGD and Adam, decoupled for AdamW; None means
            torch's default (0, for AdamW 0.01).
        l1: the loss has a term λ Σ|w|; as `l2` and `wd`, for weights, biases and norms left out, or
            for those of chosen layers (see `Penalty`). None of the three counts in reported losses.
        l2: the loss has a term λ Σw², whose gradient is 2 λ w.
        wd: decoupled weight decay: w is multiplied by 1 - η λ before every step, η being the
            learning rate of the moment (Loshchilov & Hutter 2019). Where it is given, 0 included,
            AdamW has no weight decay of its own besides; `weight_decay` of SGD and Adam, which is
            another thing, stays.
        entropy: strength β of a bonus for predictions that are not too sure: the loss minimised has
            a term -β H(p), H being the entropy of the predicted classes (Pereyra et al. 2017).
        augment: what is done to every batch of training, at random, one after the other.
        accumulate: batches whose gradients are averaged for one step of the optimizer; the schedule
            counts such steps.
        precision: `bf16` computes forward and loss in bfloat16 where torch.autocast does; weights
            and evaluation stay as they are. None computes in the dtype of the weights.
        schedule: how the learning rate moves.
        clip: largest norm of all gradients together; longer ones are scaled down to it
            (`torch.nn.utils.clip_grad_norm_`; Pascanu et al. 2013). None leaves them.
        label_smoothing: share of the target that is spread over all classes, in the loss of
            training (Szegedy et al. 2016).
        stopping: what ends the run early, and with which weights.

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
    schedule: Schedule = CONSTANT
    clip: float | None = None
    label_smoothing: float = 0.0
    l1: Penalty | None = None
    l2: Penalty | None = None
    wd: Penalty | None = None
    entropy: float = 0.0
    augment: Steps = ()
    accumulate: int = 1
    precision: str | None = None
    stopping: Stopping = NEVER

    @property
    def kind(self) -> tuple[Hashable, ...]:
        """What runs must have in common to train as one stack."""
        return self.optimizer, self.accumulate, self.precision

    @property
    def update(self) -> Hashable:
        """What decides how gradients become a step: runs with the same are updated together."""
        return self.optimizer, *self.options().items(), self.schedule

    @property
    def penalties(self) -> Penalties:
        """What keeps weights small, by name."""
        return {name: getattr(self, name) for name in PENALTIES}

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Return torch's optimizer for these parameters."""
        return build([self], [[p for p in parameters if p.requires_grad]])

    def autocast(self, device: torch.device) -> AbstractContextManager[Any]:
        """Return the context in which a forward and its loss are computed."""
        if self.precision is None:
            return nullcontext()
        return torch.autocast(device.type, torch.bfloat16)

    def options(self) -> dict[str, Any]:
        """Return the arguments of torch's optimizer."""
        options: dict[str, Any] = {"lr": self.lr}
        if self.weight_decay is not None:
            options["weight_decay"] = self.weight_decay
        if self.optimizer == "adamw" and self.wd is not None:
            options["weight_decay"] = 0.0
        if self.optimizer == "sgd":
            options |= {"momentum": self.momentum, "nesterov": self.nesterov}
        return options

    def dial(self) -> Dial | None:
        """Return what turns the learning rate; None where it stays as it is."""
        if self.schedule.is_constant:
            return None
        nothing = self.build([nn.Parameter(torch.zeros(()))])
        cycles_momentum = self.optimizer != "sgd" or self.momentum > 0
        return Dial(self.schedule, nothing, cycles_momentum=cycles_momentum)


def build(recipes: Sequence[Recipe], weights: Sequence[Sequence[Tensor]]) -> torch.optim.Optimizer:
    """Return one optimizer, with a parameter group for each recipe."""
    groups = [
        {"params": list(theirs), **recipe.options()}
        for recipe, theirs in zip(recipes, weights, strict=True)
    ]
    fused = all(
        weight.is_floating_point() and weight.device.type in _FUSED_ON
        for theirs in weights
        for weight in theirs
    )
    return _KINDS[recipes[0].optimizer](groups, fused=fused)  # type: ignore[call-arg]
