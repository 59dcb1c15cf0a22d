"""Give a network the batches of a loader."""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.utils._pytree import tree_map

from normwise.errors import UsageError

Forward = Callable[[nn.Module, Any], Any]


def unwrapped(network: nn.Module) -> nn.Module:
    """Return the network inside a parallel or compiled one, which hooks would not reach."""
    while True:
        if isinstance(network, DataParallel | DistributedDataParallel):
            network = network.module
        elif isinstance(inner := vars(network).get("_modules", {}).get("_orig_mod"), nn.Module):
            network = inner  # torch.compile's
        else:
            return network


def call(network: nn.Module, batch: Any) -> Any:
    """Run a network on a batch, on the network's device.

    A mapping gives the keyword arguments. Of a tuple or list the first element is the input, as in
    `torch.optim.swa_utils.update_bn`; everything else is the input.

    Raises:
        UsageError: the network does not run on it.
    """
    tensors = chain(network.parameters(), network.buffers())
    device = next((tensor.device for tensor in tensors), torch.device("cpu"))

    def moved(value: Any) -> Any:
        return tree_map(lambda v: v.to(device) if isinstance(v, Tensor) else v, value)

    try:
        if isinstance(batch, Mapping):
            return network(**{name: moved(value) for name, value in batch.items()})
        one_of_many = isinstance(batch, Sequence) and not isinstance(batch, str) and len(batch)
        return network(moved(batch[0] if one_of_many else batch))
    except UsageError:
        raise
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UsageError(
            f"the network does not run on a batch of the loader, {_told(batch)}: "
            f"{lines[0].rstrip('.')}. If it is called in another way, say how: "
            "forward=lambda network, batch: network(...)"
        ) from error


def _told(batch: Any) -> str:
    if isinstance(batch, Tensor):
        return f"a tensor of shape {tuple(batch.shape)}"
    if isinstance(batch, Mapping):
        return f"a mapping with {', '.join(map(str, batch)) or 'nothing'} as keyword arguments"
    if isinstance(batch, Sequence) and len(batch) and not isinstance(batch, str):
        return f"of which it takes the first part, {_told(batch[0])}"
    return f"a {type(batch).__name__}"
