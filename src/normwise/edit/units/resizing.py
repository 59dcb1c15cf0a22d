"""Give a network fewer or more units: one change of index for all that belongs to them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from normwise.edit.units.couplings import Nodes
from normwise.edit.units.group import Group, Slot
from normwise.edit.units.renewing import renew
from normwise.edit.units.sizes import counters, refit, tensors_of

SQUARES = frozenset({"exp_avg_sq", "max_exp_avg_sq", "square_avg", "sum", "acc_delta"})
"""What optimizers call their averages of squared gradients."""


@dataclass(frozen=True)
class Axis:
    """How one axis is made of the former one.

    Attributes:
        source: the former position of each position.
        number: 0 for an original, from 1 for its copies.
        share: of what the unit is worth to the layers behind it, how much this copy carries.
        reading: whether weights lie here that multiply the unit's value.
    """

    source: Tensor
    number: Tensor
    share: Tensor
    reading: bool


class Resizing:
    """A plan to remove and copy units.

    Args:
        network: left as it was until `apply`.
        changes: groups, and for each of their units how often it is there afterwards: 0 removes
            it, 2 makes a copy.
        split: copies share what their unit is worth to the layers behind it, so that the network
            computes the same (Chen et al., *Net2Net*, 2016, eq. 5); else they start with nothing.
    """

    def __init__(
        self, network: nn.Module, changes: Sequence[tuple[Group, Nodes]], *, split: bool = True
    ) -> None:
        self._network = network
        self._tensors = tensors_of(network)
        self._shapes = {name: tuple(tensor.shape) for name, tensor in self._tensors.items()}
        self._counters = counters(network)
        slots = {slot for group, _ in changes for slot in group.slots}
        self.axes = {slot: self._axis(slot, changes, split=split) for slot in sorted(slots)}

    def _axis(self, slot: Slot, changes: Sequence[tuple[Group, Nodes]], *, split: bool) -> Axis:
        here = [(group, copies) for group, copies in changes if slot in group.slots]
        size = self._shapes[slot.name][slot.axis] if slot.name in self._shapes else None
        size = size or max(group.slots[slot].max() for group, _ in here) + 1
        owner, times = np.full(size, -1), np.ones(1, np.int64)
        for group, copies in here:
            owner[group.slots[slot]] = np.arange(len(group))[:, None] + len(times)
            times = np.append(times, copies)
        owner[owner < 0] = 0
        source, number = _spread(owner, times)
        worth = 1 / times[owner[source]] if split else (number == 0).astype(float)
        reading = any(slot in group.reading for group, _ in here)
        return Axis(*(torch.from_numpy(a) for a in (source, number, worth)), reading=reading)

    @torch.no_grad()
    def apply(self) -> None:
        """Change the network: its tensors keep their identity, its modules their class."""
        for name in {slot.name for slot in self.axes} & self._tensors.keys():
            tensor = self._tensors[name]
            made = self._made(name, tensor.data, lambda a: a.share if a.reading else None)
            renew(tensor, made)
        for module in self._network.modules():
            refit(module)
        for name, norm in self._counters.items():
            if (axis := self.axes.get(Slot(name, 0))) is not None:
                refit(norm, channels=len(axis.source))

    def copied(self, *, reading: bool) -> dict[str, Tensor]:
        """Return where copies lie in the parameters, as they are after `apply`.

        Args:
            reading: the weights that read copies, else what makes them.
        """
        masks: dict[str, Tensor] = {}
        for slot, axis in self.axes.items():
            tensor = self._tensors.get(slot.name)
            if axis.reading == reading and isinstance(tensor, nn.Parameter):
                along = [-1 if i == slot.axis else 1 for i in range(tensor.ndim)]
                here = (axis.number > 0).reshape(along).expand(tensor.shape).to(tensor.device)
                masks[slot.name] = masks[slot.name] | here if slot.name in masks else here
        return masks

    @torch.no_grad()
    def follow(self, optimizer: Optimizer | None) -> list[str]:
        """Let gradients and the state of an optimizer follow a network that was changed.

        A copy that carries a share of its unit has that share of its gradient, and the square of
        it where squares are averaged.

        Returns:
            The parameters whose state has a shape of its own, and was cleared.
        """
        cleared: list[str] = []
        for name in {slot.name for slot in self.axes} & self._tensors.keys():
            tensor = self._tensors[name]
            if tensor.grad is not None:
                grad, tensor.grad = tensor.grad, None
                tensor.grad = self._made(name, grad, _gradient(1))
            state = {} if optimizer is None else optimizer.state.get(tensor, {})
            if not self._follow_state(name, state):
                state.clear()
                cleared.append(name)
        return sorted(cleared)

    def _follow_state(self, name: str, state: dict[str, object]) -> bool:
        shape = self._shapes[name]
        for key, value in state.items():
            if not isinstance(value, Tensor) or (value.numel() == 1 and value.shape != shape):
                continue  # a count of steps
            if value.shape != shape:
                return False
            state[key] = self._made(name, value, _gradient(2 if key in SQUARES else 1))
        return True

    def _made(self, name: str, tensor: Tensor, scale: "Scale") -> Tensor:
        """Return a tensor with other positions along its axes, in the same memory format."""
        result = tensor
        for number in range(tensor.ndim):
            if (axis := self.axes.get(Slot(name, number))) is None:
                continue
            result = result.index_select(number, axis.source.to(tensor.device))
            if (by := scale(axis)) is not None and bool((by != 1).any()):
                along = [-1 if i == number else 1 for i in range(tensor.ndim)]
                result = result * by.to(tensor).reshape(along)
        for layout in (torch.channels_last, torch.channels_last_3d):
            fits = tensor.ndim == (4 if layout is torch.channels_last else 5)
            if fits and tensor.is_contiguous(memory_format=layout) and not tensor.is_contiguous():
                return result.contiguous(memory_format=layout)
        return result.contiguous()


Scale = Callable[[Axis], Tensor | None]


def _gradient(power: int) -> Scale:
    return lambda axis: None if axis.reading else axis.share**power


def _spread(owner: Nodes, times: Nodes) -> tuple[Nodes, Nodes]:
    """Return where each new position comes from, and the number of the copy it is.

    A copy stands right behind its original. Positions in a row that belong to one unit, such as
    those of a flattened channel, are copied as a row: so whatever reshapes the axis finds the same
    order as before.
    """
    runs = np.split(np.arange(len(owner)), np.flatnonzero(np.diff(owner)) + 1)
    counts = times[[owner[run[0]] for run in runs]]
    source = [np.tile(run, count) for run, count in zip(runs, counts, strict=True)]
    number = [np.arange(n).repeat(len(run)) for run, n in zip(runs, counts, strict=True)]
    return np.concatenate(source), np.concatenate(number)
