"""Run a network's forward with other tensors in the place of its own."""

from typing import Any

from torch import Tensor, nn

from normwise.samples import Samples, forward

Tensors = dict[str, Tensor]


def call(network: nn.Module, tensors: Tensors, x: Samples) -> Any:
    """Return what the network makes of `x` with these parameters and buffers.

    `torch.func.functional_call` does the same, but forgets what the forward assigns to a buffer,
    and leaves its tensors behind in a module that has two names.

    Args:
        network: is left as it was.
        tensors: by their names in the network; a buffer that the forward updates, in place or
            by assignment, is updated here.
        x: the input.

    Example:
        >>> import torch
        >>> call(nn.Linear(1, 1), {"weight": torch.eye(1), "bias": torch.ones(1)}, torch.ones(1))
        tensor([2.])
    """
    names = {
        tensor: name for name, tensor in [*network.named_parameters(), *network.named_buffers()]
    }
    places: list[tuple[dict[str, Any], str, Tensor]] = [
        (held, key, own)
        for module in network.modules()
        for held in (module._parameters, module._buffers)
        for key, own in held.items()
        if own is not None
    ]
    try:
        for held, key, own in places:
            held[key] = tensors[names[own]]
        output = forward(network, x)
        for held, key, own in places:
            if held[key] is not tensors[names[own]]:
                tensors[names[own]].copy_(held[key])
        return output
    finally:
        for held, key, own in places:
            held[key] = own
