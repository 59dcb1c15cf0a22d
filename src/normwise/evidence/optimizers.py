"""What optimizers hold, how often they step, and what becomes of gradients between steps."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.optim import Optimizer as TorchOptimizer


@dataclass(frozen=True, eq=False)
class Optimizer:
    """What is known of one optimizer.

    Attributes:
        index: its place in `Evidence.optimizers`.
        type: the name of its class, such as `AdamW`.
        groups: its parameter groups without their parameters: learning rate, weight decay, ...
        parameters: names of the parameters in each group; None for those of no watched network.
        steps: how often it stepped.
        accumulated: how many backward passes went into a step, on average; those whose gradients
            were cleared before it do not count.
        stale: steps at which the gradients of earlier steps were still part of its gradients.
        judged: steps at which that could be told.
        edits: what happened to gradients between backward and step, in order, and how often:
            `("clip",)`, `("clip", "unscale")`, ... in measured steps.

    Example:
        >>> import torch
        >>> from normwise.evidence import probe
        >>> net = torch.nn.Linear(4, 3)
        >>> adam = torch.optim.Adam(net.parameters())
        >>> batch = torch.randn(32, 4), torch.randn(32, 3)
        >>> [found] = probe(net, [batch] * 5, torch.nn.functional.mse_loss, adam).optimizers
        >>> found.type, found.steps, found.stale, found.parameters
        ('Adam', 5, 0, (('weight', 'bias'),))
    """

    index: int
    type: str
    groups: tuple[dict[str, Any], ...]
    parameters: tuple[tuple[str | None, ...], ...]
    steps: int = 0
    accumulated: float = 0.0
    stale: int = 0
    judged: int = 0
    edits: dict[tuple[str, ...], int] | None = None


class OptimizerMeter:
    """Follows one optimizer, at every step, by the gradient of a single parameter.

    Whether gradients were cleared is told by that gradient's version counter: no value is read.
    """

    def __init__(self, optimizer: TorchOptimizer) -> None:
        self.optimizer = optimizer
        self.steps = 0
        self._stale = self._judged = self._accumulations = self._in_cycle = 0
        self._cleared = False
        self._left: tuple[int, int] | None = None  # the gradient and its version, since looked at
        self._edits: Counter[tuple[str, ...]] = Counter()
        self._editing: list[str] | None = None  # None while it is not seen
        self._handles: list[Any] = []
        self._sentinel: Tensor | None = None
        self.follow()

    def parameters(self) -> list[Tensor]:
        """Return all its parameters."""
        return [p for group in self.optimizer.param_groups for p in group["params"]]

    def follow(self) -> None:
        """Begin to follow it, between two of its steps."""
        self._follow([p for p in self.parameters() if p.requires_grad and p.is_leaf])
        self._in_cycle, self._cleared = 0, False

    def _follow(self, parameters: list[Tensor]) -> None:
        self.detach()
        if parameters:
            self._sentinel = parameters[-1]  # of the head, which every loss reaches
            self._handles = [
                self._sentinel.register_hook(self._about_to_accumulate),
                self._sentinel.register_post_accumulate_grad_hook(self._accumulated),
            ]

    def detach(self) -> None:
        """Stop following."""
        for handle in self._handles:
            handle.remove()
        if self._sentinel is not None and not self._sentinel._backward_hooks:
            self._sentinel._backward_hooks = None  # as it was, before torch made a place for them
        self._handles, self._sentinel = [], None

    def stepped(self) -> None:
        """Note that it has stepped."""
        self.steps += 1
        if self._editing is not None:
            self._edits[tuple(self._editing)] += 1
            self._editing = []
        if self._in_cycle:
            self._judged += 1
            self._stale += not self._cleared
            self._accumulations += self._in_cycle
        elif reached := [p for p in self.parameters() if p.grad is not None and p.requires_grad]:
            self._follow(reached)  # the one that was followed is not in use
        self._in_cycle, self._cleared = 0, False
        self._look()

    def edited(self, what: str) -> None:
        """Note that gradients were changed between backward and step."""
        if self._editing is not None:
            self._editing.append(what)

    def begin_window(self) -> None:
        """Note that what happens to gradients is seen from now on."""
        self._editing = []

    def end_window(self) -> None:
        """Note that it is seen no more."""
        self._editing = None

    def holds_gradient(self, tensors: Any) -> bool:
        """Whether the followed parameter's gradient is among tensors."""
        gradient = None if self._sentinel is None else self._sentinel.grad
        return gradient is not None and any(tensor is gradient for tensor in tensors)

    def _about_to_accumulate(self, _gradient: Tensor) -> None:
        assert self._sentinel is not None
        left = self._sentinel.grad
        cleared = left is None or self._left != (id(left), left._version)
        self._cleared |= cleared
        self._in_cycle = 1 if cleared else self._in_cycle + 1

    def _accumulated(self, _parameter: Tensor) -> None:
        self._look()

    def _look(self) -> None:
        left = None if self._sentinel is None else self._sentinel.grad
        self._left = None if left is None else (id(left), left._version)

    def result(self, index: int, names: dict[int, str]) -> Optimizer:
        """Return what is known of it."""
        groups = self.optimizer.param_groups
        return Optimizer(
            index,
            type(self.optimizer).__name__,
            tuple({k: v for k, v in group.items() if k != "params"} for group in groups),
            tuple(tuple(names.get(id(p)) for p in group["params"]) for group in groups),
            self.steps,
            self._accumulations / self._judged if self._judged else float("nan"),
            self._stale,
            self._judged,
            dict(self._edits),
        )
