"""Run a network on the side and leave it as it was."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def undisturbed(network: nn.Module) -> Iterator[None]:
    """Restore a network and torch's random state on leaving.

    A forward pass in training mode moves running statistics and draws dropout masks; inside this
    context it may do both, and nobody will ever know. Restored are parameters, buffers, modes and
    whatever else a forward sets on its module. The one lasting change is a lazy module's: its
    first forward pass makes its parameters.

    Args:
        network: the network that is about to be run.

    Example:
        >>> norm = nn.BatchNorm1d(2)
        >>> with undisturbed(norm):
        ...     _ = norm.train()(torch.randn(8, 2))
        >>> norm.running_mean.tolist()
        [0.0, 0.0]
    """
    modules = [_Module(module) for module in network.modules()]
    tensors = [
        _Tensor(tensor)
        for tensor in (*network.parameters(), *network.buffers())
        if not nn.parameter.is_lazy(tensor)
    ]
    devices = sorted({p.device.index for p in network.parameters() if p.device.type == "cuda"})
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            for state in (*modules, *tensors):
                state.restore()


class _Module:
    """A module's attributes, its mode and its choice of buffers among them."""

    def __init__(self, module: nn.Module) -> None:
        self._module, self._mode = module, module.training
        self._buffers = dict(module._buffers)
        self._attributes = dict(vars(module))
        self._lazy = any(map(nn.parameter.is_lazy, module.parameters(recurse=False)))

    def restore(self) -> None:
        if self._lazy:
            self._module.training = self._mode
            return
        vars(self._module).clear()
        vars(self._module).update(self._attributes)
        self._module._buffers.update(self._buffers)


class _Tensor:
    """A tensor's values."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor, self._data, self._values = tensor, tensor.data, tensor.detach().clone()

    def restore(self) -> None:
        # Through `data`, which a backward pass to come does not count as a change.
        if self._tensor.data_ptr() != self._data.data_ptr():
            self._tensor.data = self._data
        self._data.copy_(self._values)
