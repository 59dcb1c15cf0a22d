"""Make units as good as zero, without removing them."""

import torch
from torch import nn

from normwise.edit.units.couplings import Nodes
from normwise.edit.units.group import Group
from normwise.edit.units.sizes import tensors_of


def silence(network: nn.Module, group: Group, units: Nodes) -> None:
    """Zero the weights that read some units, so that the layers behind see zeros.

    Args:
        network: changed in place.
        group: of the network.
        units: their numbers in the group.
    """
    tensors = tensors_of(network)
    for slot in group.reading:
        tensor = tensors[slot.name].data
        where = torch.from_numpy(group.slots[slot][units].ravel())
        tensor.index_fill_(slot.axis, where.to(tensor.device), 0)
