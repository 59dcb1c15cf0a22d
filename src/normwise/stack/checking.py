"""Check that a recorded program computes what the networks compute, on their first batch."""

import copy
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from normwise.data import Split
from normwise.samples import forward
from normwise.stack.calling import Tensors
from normwise.stack.evaluation import evaluate
from normwise.stack.forms import DropoutForms, Masks
from normwise.stack.objective import Goal, minimised
from normwise.stack.recording import NotStackable

_CHECKED = 4  # runs that a program may be checked on
# Relative differences: half the digits of float32, and what one value that is taken for another
# in a pooling may make of a gradient.
_ROUNDING, _MISTAKEN = torch.finfo(torch.float32).eps ** 0.5, 0.05


@dataclass(frozen=True)
class FirstStep:
    """What a program found for one run, and what that run is.

    Attributes:
        network: of the run, before any step.
        masks: of its dropouts.
        label_smoothing: of its loss.
        entropy: strength of its bonus.
        loss: that the program found.
        gradients: likewise, by name; those that are 0 for want of a path are left out.
        buffers: as the program left them, by name.
    """

    network: nn.Module
    masks: Sequence[Tensor]
    label_smoothing: float
    entropy: float
    loss: Tensor
    gradients: Tensors
    buffers: Tensors


class Check:
    """Holds what a stack computes to what its networks do.

    Args:
        objective: of all runs.
        example: the batch to compare on.
    """

    def __init__(self, objective: Goal, example: Split) -> None:
        self._objective, self._example = objective, example

    def evaluation(self, stacked: Callable[..., Any], network: nn.Module) -> None:
        """Compare an evaluation.

        Args:
            stacked: what the stack computes for one run in evaluation mode.
            network: of that run.

        Raises:
            NotStackable: it differs.
        """
        forwards = [stacked, copy.deepcopy(network).eval()]
        ours, theirs = evaluate(forwards, self._objective, self._example)
        if _difference([torch.tensor(ours[:2])], [torch.tensor(theirs[:2])]) > _ROUNDING:
            raise NotStackable("an evaluation of the stack differs from the network's own")

    def step(self, runs: Iterable[FirstStep]) -> None:
        """Compare a step.

        Where two values are equal but for rounding, a pooling may take the other one, and the
        gradient goes another way. That is no fault: where a run differs as little as by that,
        another one is looked at.

        Args:
            runs: taken one by one, until one does not differ.

        Raises:
            NotStackable: they differ.
        """
        for found in itertools.islice(runs, _CHECKED):
            difference = self._difference_of(found)
            if difference <= _ROUNDING:
                return
            if difference > _MISTAKEN:
                break
        raise NotStackable("a step of the recorded program differs from the network's own")

    def _difference_of(self, found: FirstStep) -> float:
        """Return how far a run's loss, gradients and buffers are from those of its network."""
        network = copy.deepcopy(found.network).train()
        with DropoutForms(Masks(list(found.masks))):
            output = forward(network, self._example.x)
            settings = found.label_smoothing, found.entropy
            loss, whole = minimised(self._objective, output, self._example.y, *settings)
        whole.backward()
        theirs = {n: p.grad for n, p in network.named_parameters() if p.grad is not None}
        if theirs.keys() != found.gradients.keys():
            return math.inf
        state = {**dict(network.named_parameters()), **dict(network.named_buffers())}
        return max(
            _difference([found.gradients[name] for name in theirs], list(theirs.values())),
            _difference([found.loss], [loss]),
            *(_difference([buffer], [state[name]]) for name, buffer in found.buffers.items()),
        )


def _difference(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> float:
    """Return the relative difference, in the norm of all together.

    Some are nothing but rounding, such as the gradient of a bias before batch norm.
    """
    if not ours:
        return 0.0
    a, b = (torch.cat([_reals(tensor) for tensor in each]) for each in (ours, theirs))
    if not b.isfinite().all():
        return 0.0 if (a.isfinite() == b.isfinite()).all() else math.inf
    difference = float((a - b).norm() / (b.norm() + _ROUNDING))
    return math.inf if math.isnan(difference) else difference


def _reals(tensor: Tensor) -> Tensor:
    tensor = tensor.detach()
    return (torch.view_as_real(tensor) if tensor.is_complex() else tensor).double().flatten()
