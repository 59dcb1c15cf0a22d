"""Write one module's own forward down as a graph, its children untouched."""

import functools
import itertools
import random
from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn
from torch.utils._pytree import tree_map

from normwise.edit.probing import slow_path
from normwise.edit.rewritten import TENSOR, bind, pattern
from normwise.trace import Call, undisturbed


def one_level(owner: nn.Module, training: bool, arguments: Any) -> fx.Graph:
    """Trace a module's forward in one mode; every child is called as a whole.

    Args:
        owner: left as it was.
        training: the mode; a forward may ask for it, so each has a graph of its own.
        arguments: by `arguments_of`.

    Raises:
        ValueError: it cannot be traced, or does more than its graph would; says why.
    """
    with undisturbed(owner), slow_path():
        owner.train(training)
        before = _Surroundings(owner)
        try:
            graph = _OneLevel(arguments).trace(owner)
            before.check()
        except Exception as error:
            raise ValueError(str(error).splitlines()[0]) from error
    return graph


def arguments_of(network: nn.Module, owner: nn.Module, example: Any) -> Any:
    """Return the pattern of the arguments that the owner's forward is first called with."""
    calls: list[Any] = []

    def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        calls.append(pattern(bind(module, args, kwargs)))

    handle = owner.register_forward_pre_hook(note, with_kwargs=True)
    try:
        with undisturbed(network), torch.no_grad():
            Call.of(example)(network.train())
    finally:
        handle.remove()
    return calls[0]


class _OneLevel(fx.Tracer):
    """Traces one module's own forward, for given arguments, and leaves its children alone."""

    def __init__(self, arguments: Any) -> None:
        super().__init__()
        self._arguments = arguments

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:  # noqa: ARG002
        return True

    def create_args_for_root(
        self,
        root_fn: Any,
        is_module: bool,  # noqa: ARG002
        concrete_args: Any = None,  # noqa: ARG002
    ) -> tuple[Callable[..., Any], list[Any]]:
        names = (f"x{number}" for number in itertools.count())

        def proxy(leaf: Any) -> Any:
            return self.create_proxy("placeholder", next(names), (), {}) if leaf == TENSOR else leaf

        args, kwargs = tree_map(proxy, self._arguments)
        return functools.partial(root_fn, **kwargs), [self.root, *args]


class _Surroundings:
    """All that a forward may change besides its outputs, which a graph would not see."""

    def __init__(self, owner: nn.Module) -> None:
        self._owner = owner
        self._attributes = dict(vars(owner))
        self._random = self._draws()
        self._versions = self._writes()

    def check(self) -> None:
        """Raise if anything has changed."""
        changed = [
            name
            for name, value in vars(self._owner).items()
            if name not in self._attributes or self._attributes[name] is not value
        ]
        if changed:
            raise ValueError(f"it sets {', '.join(changed)} on itself while it runs")
        if self._draws() != self._random:
            raise ValueError("it draws random numbers that do not depend on its inputs")
        if self._writes() != self._versions:
            raise ValueError("it writes to its parameters or buffers")

    def _draws(self) -> tuple[Any, ...]:
        return random.getstate(), torch.get_rng_state().tolist()

    def _writes(self) -> list[int]:
        return [tensor._version for tensor in (*self._owner.parameters(), *self._owner.buffers())]
