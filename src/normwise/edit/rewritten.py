"""Give one instance a forward of its own, which survives copying and pickling."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx, nn
from torch.fx.graph import PythonCode
from torch.utils._pytree import tree_leaves, tree_map

TENSOR = "<a tensor>"


@dataclass(frozen=True)
class Rewriting:
    """A forward that was traced into graphs.

    Attributes:
        graphs: one for training and one for evaluation mode; their inputs are the tensors among
            the arguments, in order.
        arguments: the arguments of the traced call, by `pattern`.
    """

    graphs: dict[bool, fx.Graph]
    arguments: Any


def rewrite(module: nn.Module, rewriting: Rewriting) -> None:
    """Make a module compute what its graphs do; it stays an instance of its class."""
    module.__class__ = _rewritten(_original(type(module)), rewriting)


def bind(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return all arguments of a forward, defaults included, as `(args, kwargs)`."""
    bound = _signature(type(module)).bind(module, *args, **kwargs)
    bound.apply_defaults()
    return bound.args[1:], bound.kwargs


@functools.cache
def _signature(kind: type[nn.Module]) -> inspect.Signature:
    return inspect.signature(kind.forward)


def pattern(arguments: Any) -> Any:
    """Return the arguments with every tensor replaced by `TENSOR`."""
    return tree_map(lambda leaf: TENSOR if _is_tensor(leaf) else leaf, arguments)


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor | fx.Proxy)


def _original(kind: type[nn.Module]) -> type[nn.Module]:
    return kind.__bases__[0] if "_rewriting" in vars(kind) else kind


_classes: dict[tuple[Any, ...], type[nn.Module]] = {}


def _rewritten(base: type[nn.Module], rewriting: Rewriting) -> type[nn.Module]:
    """Return the class for a rewriting: equal ones share it, since torch stacks by class."""
    codes = {mode: graph.python_code("self") for mode, graph in rewriting.graphs.items()}
    key = (base, repr(rewriting.arguments), *(code.src for code in codes.values()))
    if key not in _classes:
        forwards = {mode: _compile(code) for mode, code in codes.items()}
        _classes[key] = _make_class(base, rewriting, forwards)
    return _classes[key]


def _make_class(
    base: type[nn.Module], rewriting: Rewriting, forwards: dict[bool, Callable[..., Any]]
) -> type[nn.Module]:
    count = len(rewriting.arguments[0])
    tensors_only = rewriting.arguments == ((TENSOR,) * count, {})

    @functools.wraps(base.forward)
    def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        # The common case first, for its speed.
        if tensors_only and len(args) == count and not kwargs and all(map(_is_tensor, args)):
            return forwards[self.training](self, *args)
        arguments = bind(self, args, kwargs)
        if pattern(arguments) != rewriting.arguments:
            raise TypeError(
                f"the forward of this {base.__name__} was edited for calls with "
                f"{rewriting.arguments}, and this one has {pattern(arguments)}"
            )
        return forwards[self.training](self, *filter(_is_tensor, tree_leaves(arguments)))

    def reduce(self: nn.Module, protocol: Any) -> tuple[Any, ...]:
        # Pickle finds a class by its name, and under this name it would find the original.
        return (_revive, (base, rewriting), *base.__reduce_ex__(self, protocol)[2:])

    members = {"forward": forward, "__reduce_ex__": reduce, "_rewriting": rewriting}
    return type(base.__name__, (base,), members | {"__module__": base.__module__})


def _compile(code: PythonCode) -> Callable[..., Any]:
    namespace = dict(code.globals)
    exec(code.src, namespace)
    return namespace["forward"]


def _revive(base: type[nn.Module], rewriting: Rewriting) -> nn.Module:
    kind = _rewritten(base, rewriting)
    return kind.__new__(kind)
