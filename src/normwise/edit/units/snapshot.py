"""Put a network and its optimizer back, values and shapes."""

import copy
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from normwise.edit.units.renewing import renew
from normwise.edit.units.sizes import tensors_of


class Snapshot:
    """What a network and its optimizer hold, to be put back after they were resized or trained.

    Modules and tensors keep their identity.

    Example:
        >>> net = nn.Linear(2, 3)
        >>> before = Snapshot(net, None)
        >>> net.weight.data = net.weight.data[:1]
        >>> before.restore()
        >>> net.weight.shape
        torch.Size([3, 2])
    """

    def __init__(self, network: nn.Module, optimizer: Optimizer | None) -> None:
        self._modules = [(module, dict(vars(module))) for module in network.modules()]
        self._tensors = [_Held(tensor) for tensor in tensors_of(network).values()]
        self._optimizer = optimizer
        self._state = {} if optimizer is None else _copied(dict(optimizer.state))
        self._groups = [] if optimizer is None else [dict(g) for g in optimizer.param_groups]

    def restore(self) -> None:
        """Put everything back; once only, since what is put back is not kept."""
        for module, attributes in self._modules:
            vars(module).clear()
            vars(module).update(attributes)
        for held in self._tensors:
            held.restore()
        if self._optimizer is not None:
            self._optimizer.state.clear()
            self._optimizer.state.update(self._state)
            for group, before in zip(self._optimizer.param_groups, self._groups, strict=True):
                group.update(before)


class _Held:
    """One tensor's memory, values and gradient."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor, self._data, self._values = tensor, tensor.data, tensor.detach().clone()
        self._grad = tensor.grad
        self._slope = None if tensor.grad is None else tensor.grad.clone()

    def restore(self) -> None:
        self._tensor.grad = None
        renew(self._tensor, self._data)
        self._data.copy_(self._values)
        if self._grad is not None and self._slope is not None:
            self._tensor.grad = self._grad
            self._grad.data.copy_(self._slope)


def _copied(state: dict[Any, dict[str, Any]]) -> dict[Any, dict[str, Any]]:
    return {
        parameter: {key: copy.deepcopy(value) for key, value in entries.items()}
        for parameter, entries in state.items()
    }
