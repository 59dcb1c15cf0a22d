"""Run a network on the side and leave it as it was."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def undisturbed(network: nn.Module) -> Iterator[None]:
    """Restore a network's buffers and modes and torch's random state on leaving.

    A forward pass in training mode moves running statistics and draws dropout masks; inside this
    context it may do both, and nobody will ever know.

    Args:
        network: the network that is about to be run.

    Example:
        >>> norm = nn.BatchNorm1d(2)
        >>> with undisturbed(norm):
        ...     _ = norm.train()(torch.randn(8, 2))
        >>> norm.running_mean.tolist()
        [0.0, 0.0]
    """
    modes = [(module, module.training) for module in network.modules()]
    # A lazy module's buffers have no value yet; its first forward materialises them for good.
    buffers = [
        (buffer, buffer.detach().clone())
        for buffer in network.buffers()
        if not isinstance(buffer, nn.parameter.UninitializedBuffer)
    ]
    devices = sorted({p.device.index for p in network.parameters() if p.device.type == "cuda"})
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            with torch.no_grad():
                for buffer, before in buffers:
                    buffer.copy_(before)
            for module, mode in modes:
                module.training = mode
