"""How much each unit of a network is worth."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from normwise.edit.units import Group, Slot, quiet, silence, tensors_of
from normwise.errors import UsageError
from normwise.trace.functions import NORM_TYPES

Scores = NDArray[np.float64]
Loss = Callable[[nn.Module], float | Tensor]


CRITERIA = ("magnitude", "gamma", "sensitivity")


def scores(network: nn.Module, group: Group, by: str, loss: Loss | None) -> Scores:
    """Return what each unit is worth by one of `CRITERIA`; `sensitivity` needs the loss."""
    if loss is not None and by == "sensitivity":
        return sensitivities(network, group, loss)
    if by == "gamma":
        slots = gamma_slots(network, group)
        return _sums(network, group, slots) / sum(group.slots[slot].shape[1] for slot in slots)
    tensors = tensors_of(network)
    made = group.slots.keys() - group.reading
    return _sums(
        network, group, [s for s in made if s.name in tensors and tensors[s.name].ndim > 1]
    )


def gamma_slots(network: nn.Module, group: Group) -> list[Slot]:
    """Return where the γ of the norms behind the units lie."""
    norms = [module for module in network.modules() if isinstance(module, NORM_TYPES)]
    found = {id(getattr(norm, "weight", None)) for norm in norms} - {id(None)}
    tensors = tensors_of(network)
    return [s for s in group.slots if s.name in tensors and id(tensors[s.name]) in found]


def sensitivities(network: nn.Module, group: Group, loss: Loss) -> Scores:
    """Return by how much the loss rises without each unit, measured one at a time."""
    whole, tensors = measured(network, loss), tensors_of(network)
    rises = np.zeros(len(group))
    with quiet(network, training=False):
        kept = {slot.name: tensors[slot.name].detach().clone() for slot in group.reading}
        for unit in range(len(group)):
            torch.manual_seed(0)  # as for the whole network
            silence(network, group, np.array([unit]))
            rises[unit] = _number(loss(network)) - whole
            for name, values in kept.items():
                tensors[name].data.copy_(values)
    return rises


def measured(network: nn.Module, loss: Loss) -> float:
    """Return the loss in evaluation mode; leave the network as it was."""
    with quiet(network, training=False):
        return _number(loss(network))


def _number(value: object) -> float:
    if isinstance(value, Tensor) and value.numel() == 1:
        return value.item()
    if isinstance(value, int | float | np.floating):
        return float(value)
    raise UsageError(f"loss returned a {type(value).__name__}: it has to return one number")


def _sums(network: nn.Module, group: Group, slots: Sequence[Slot]) -> Scores:
    tensors, total = tensors_of(network), np.zeros(len(group))
    for slot in slots:
        weights = tensors[slot.name].detach().abs().double().movedim(slot.axis, 0)
        total += weights.reshape(len(weights), -1).sum(1).cpu().numpy()[group.slots[slot]].sum(1)
    return total
