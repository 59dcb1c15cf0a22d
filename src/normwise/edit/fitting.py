"""Train new units on the samples that a network fits worst."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from normwise.edit.units import Resizing
from normwise.errors import UsageError
from normwise.trace import Call

SampleLoss = Callable[[Any, Tensor], Tensor]
Masks = dict[nn.Parameter, Tensor]
HALVINGS = 10


class Fit:
    """The samples that a network fits worst.

    Args:
        network: before it grows.
        samples: inputs and targets.
        loss: of outputs and targets; one value per sample.
        worst: the share of the samples to train on.

    Raises:
        UsageError: there are not as many targets as inputs, or the loss does not give one value
            per sample.
    """

    def __init__(
        self, network: nn.Module, samples: tuple[Any, Tensor], loss: SampleLoss, worst: float
    ) -> None:
        self._network, self._loss = network, loss
        self._inputs, self._targets = Call.of(samples[0]), samples[1]
        if self._inputs.size != len(self._targets):
            raise UsageError(
                f"fit has {self._inputs.size} inputs and {len(self._targets)} targets: give one "
                "target for each input"
            )
        with torch.no_grad():
            losses = self._losses(self._inputs, self._targets)
        if losses.shape != (len(self._targets),):
            raise UsageError(
                f"loss gives a tensor of shape {tuple(losses.shape)} for {len(self._targets)} "
                'samples: it has to give one loss each, as with reduction="none"'
            )
        self._before = losses.mean().item()
        self._worst = losses.topk(math.ceil(worst * len(losses))).indices

    def train(self, resizing: Resizing, steps: int, lr: float) -> str:
        """Train what was added, and say what came of it; the rest of the network stays."""
        inputs = self._inputs.replaced([tensor[self._worst] for tensor in self._inputs.tensors])
        targets = self._targets[self._worst]
        first = self._losses(inputs, targets).mean().item()
        with _lent(self._trainable(resizing)) as masks:
            adam = torch.optim.Adam(masks, lr)
            for _ in range(steps):
                slopes = torch.autograd.grad(
                    self._losses(inputs, targets).mean(), list(masks), allow_unused=True
                )
                for (parameter, where), slope in zip(masks.items(), slopes, strict=True):
                    parameter.grad = None if slope is None else slope * where
                adam.step()
        self._moderate(resizing.copied(reading=True))
        last = self._losses(inputs, targets).mean().item()
        return (
            f"trained on the {len(targets)} worst-fitted samples: their loss {first:.4g} -> "
            f"{last:.4g}, of all {self._before:.4g} -> {self._mean():.4g}"
        )

    def _trainable(self, resizing: Resizing) -> Masks:
        """Return the parameters that hold new units, and where."""
        masks: Masks = {}
        for reading in (False, True):
            for name, where in resizing.copied(reading=reading).items():
                parameter = self._network.get_parameter(name)
                if parameter.requires_grad:
                    masks[parameter] = masks[parameter] | where if parameter in masks else where
        return masks

    @torch.no_grad()
    def _moderate(self, reading: dict[str, Tensor]) -> None:
        """Halve what reads the new units until the loss of all samples is none the worse."""
        for number in range(HALVINGS + 1):
            if self._mean() <= self._before:
                return
            for name, where in reading.items():
                factor = 0.5 if number < HALVINGS else 0.0
                self._network.get_parameter(name).data[where] *= factor

    def _mean(self) -> float:
        with torch.no_grad():
            return self._losses(self._inputs, self._targets).mean().item()

    def _losses(self, inputs: Call, targets: Tensor) -> Tensor:
        with _evaluating(self._network):
            return self._loss(inputs(self._network), targets)


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def _lent(masks: Masks) -> Iterator[Masks]:
    """Lend parameters to another optimizer; then their own gradients come back."""
    grads = {parameter: parameter.grad for parameter in masks}
    try:
        yield masks
    finally:
        for parameter, grad in grads.items():
            parameter.grad = grad
