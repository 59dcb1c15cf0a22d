"""Give a network the batches of a loader."""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from normwise.errors import UsageError
from normwise.trace import Call

Forward = Callable[[nn.Module, Any], Any]


def call(network: nn.Module, batch: Any) -> Any:
    """Run a network on a batch, on the network's device.

    A mapping gives the keyword arguments. Of a tuple or list the first element is the input, as in
    `torch.optim.swa_utils.update_bn`; everything else is the input.

    Raises:
        UsageError: the network does not run on it.
    """
    held = next(chain(network.parameters(), network.buffers()), torch.empty(0))
    try:
        first = batch[0] if isinstance(batch, list | tuple) and batch else batch
        if isinstance(first, Tensor):  # reading arguments takes longer than a small network does
            return network(first.to(held.device))
        arguments = Call.of_batch(batch).to(held.device)
        return network(*arguments.args, **arguments.kwargs)
    except UsageError:
        raise
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UsageError(
            f"the network does not run on a batch of the loader, {_told(batch)}: "
            f"{lines[0].rstrip('.')}. If it is called in another way, say how: "
            "forward=lambda network, batch: network(...)"
        ) from error


class Sparing:
    """Runs a network on batches that stay as they are.

    The first is copied, to see whether the network writes to its inputs; only if it does, so are
    all others.

    Args:
        forward: runs the network on a batch.
    """

    def __init__(self, forward: Forward) -> None:
        self._forward, self._copying = forward, True

    def __call__(self, network: nn.Module, batch: Any) -> Any:
        """Run a network on a batch."""
        if not self._copying:
            return self._forward(network, batch)
        mine = tree_map(lambda leaf: leaf.clone() if isinstance(leaf, Tensor) else leaf, batch)
        output = self._forward(network, mine)
        copies = (leaf for leaf in tree_leaves(mine) if isinstance(leaf, Tensor))
        self._copying = any(leaf._version for leaf in copies)
        return output


def _told(batch: Any) -> str:
    if isinstance(batch, Tensor):
        return f"a tensor of shape {tuple(batch.shape)}"
    if isinstance(batch, Mapping):
        return f"a mapping with {', '.join(map(str, batch)) or 'nothing'} as keyword arguments"
    if isinstance(batch, Sequence) and len(batch) and not isinstance(batch, str):
        return f"of which it takes the first part, {_told(batch[0])}"
    return f"a {type(batch).__name__}"
