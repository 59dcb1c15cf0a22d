"""The user's own network, inside what torch wraps around it."""

from torch import nn
from torch.nn.parallel import DataParallel, DistributedDataParallel


def unwrapped(network: nn.Module) -> nn.Module:
    """Return the network inside torch's wrappers for many devices and for compiling.

    Args:
        network: any module; one without a wrapper is returned itself.

    Example:
        >>> net = nn.Linear(4, 3)
        >>> unwrapped(nn.DataParallel(net)) is net
        True
    """
    while True:
        if isinstance(network, DataParallel | DistributedDataParallel):
            network = network.module
        elif (inner := network._modules.get("_orig_mod")) is not None:
            network = inner  # torch.compile's
        else:
            return network
