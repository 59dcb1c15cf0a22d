"""Change a network wholly or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def all_or_nothing(network: nn.Module) -> Iterator[None]:
    """Put back what a network consists of if the block raises.

    That is its submodules, parameters, buffers, hooks, classes and attributes, as objects; values
    written into tensors are not put back.
    """
    modules = [_Module(module) for module in network.modules()]
    try:
        yield
    except BaseException:
        for module in modules:
            module.restore()
        raise


class _Module:
    """What one module consists of; its registries keep their identity, which handles refer to."""

    def __init__(self, module: nn.Module) -> None:
        self._module, self._kind, self._attributes = module, type(module), dict(vars(module))
        self._registries = [
            (value, value.copy())
            for value in vars(module).values()
            if isinstance(value, dict | set)
        ]

    def restore(self) -> None:
        self._module.__class__ = self._kind
        vars(self._module).clear()
        vars(self._module).update(self._attributes)
        for registry, content in self._registries:
            registry.clear()
            registry.update(content)
