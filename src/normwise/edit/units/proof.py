"""Prove that a network with fewer or more units computes what it should."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from normwise.edit.units.couplings import Nodes
from normwise.edit.units.group import Group
from normwise.edit.units.resizing import Resizing
from normwise.edit.units.running import quiet, tensors_in
from normwise.edit.units.silencing import silence
from normwise.edit.units.sizes import tensors_of
from normwise.trace import Call

ROUNDINGS = 1000
"""How far outputs may be apart: so many roundings of one operation, relative to their norm."""

Change = Callable[[], None]
Changes = Sequence[tuple[Group, Nodes]]


@dataclass(frozen=True)
class _Pass:
    outputs: list[Tensor]
    random: bool


class Proof:
    """Compares a network before and after a change, in both modes, on an example.

    It runs in float64 if the network does, so that a difference is a fault and no rounding, and
    without dropout. Values that depend on random numbers can not be compared; their shapes are.

    Args:
        network: left as it was.
        example: what it is called with.
    """

    def __init__(self, network: nn.Module, example: Call) -> None:
        self._network, self._example = network, example
        self._double = True
        try:
            self._passes(_nothing)
        except Exception:
            self._double = False

    def removal_faults(self, changes: Changes) -> list[str | None]:
        """Say for each change by itself what is wrong if these units go."""
        return self._each(self.removal_fault, changes)

    def copying_faults(self, changes: Changes) -> list[str | None]:
        """Say for each change by itself what is wrong if these units are copied."""
        return self._each(self.copying_fault, changes)

    def _each(self, fault: Callable[[Changes], str | None], changes: Changes) -> list[str | None]:
        if fault(changes) is None:  # as nearly always
            return [None] * len(changes)
        return [fault([change]) for change in changes]

    def removal_fault(self, changes: Changes) -> str | None:
        """Say what is wrong if these units go; None if the rest computes the same without them."""
        return self._fault(lambda: self._silence(changes), changes)

    def copying_fault(self, changes: Changes) -> str | None:
        """Say what is wrong if these units are copied; None if the outputs stay the same."""
        return self._fault(_nothing, changes)

    def _fault(self, reference: Change, changes: Changes) -> str | None:
        before = self._passes(reference)
        try:
            after = self._passes(lambda: Resizing(self._network, changes).apply())
        except Exception as error:
            told = str(error).strip().splitlines()
            return f"the forward fails with another number of units ({told[0] if told else error})"
        return next(filter(None, map(_difference, before, after)), None)

    def _silence(self, changes: Changes) -> None:
        """Zero what other layers read of the units that are to go."""
        for group, copies in changes:
            silence(self._network, group, np.flatnonzero(copies == 0))

    def _passes(self, change: Change) -> list[_Pass]:
        return [self._pass(change, training=training) for training in (True, False)]

    def _pass(self, change: Change, *, training: bool) -> _Pass:
        with quiet(self._network, training=training):
            example = self._example
            if self._double:
                for tensor in tensors_of(self._network).values():  # its gradients stay as they are
                    tensor.data = _double(tensor.data)
                example = example.replaced([_double(tensor) for tensor in example.tensors])
            change()
            state = torch.get_rng_state()
            outputs = [tensor.clone() for tensor in tensors_in(example(self._network))]
            return _Pass(outputs, not torch.equal(state, torch.get_rng_state()))


def _nothing() -> Any:
    return None


def _double(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor


def _difference(before: _Pass, after: _Pass) -> str | None:
    shapes = [[tuple(t.shape) for t in p.outputs] for p in (before, after)]
    if shapes[0] != shapes[1]:
        return f"its outputs change their shapes from {shapes[0]} to {shapes[1]}"
    if before.random or after.random:
        return None
    for a, b in zip(before.outputs, after.outputs, strict=True):
        if not (error := _error(a, b)) <= ROUNDINGS * _rounding(a):
            return f"its outputs would differ by {error:.1g} of their size"
    return None


def _error(a: Tensor, b: Tensor) -> float:
    if not a.is_floating_point():
        return float(not torch.equal(a, b))
    a, b = a.nan_to_num(), b.nan_to_num()
    return float((a - b).norm() / a.norm().clamp_min(torch.finfo(a.dtype).tiny))


def _rounding(tensor: Tensor) -> float:
    return torch.finfo(tensor.dtype).eps if tensor.is_floating_point() else 0.0
