"""Take dropout that is called as a function out of a module's forward."""

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.overrides import TorchFunctionMode

from normwise.edit.editing import running
from normwise.edit.probing import Behaviour
from normwise.edit.rewritten import Rewriting, rewrite
from normwise.edit.tracing import arguments_of, one_level
from normwise.errors import UsageError
from normwise.layers import is_dropout
from normwise.trace import Call, hooked, undisturbed
from normwise.trace.functions import DROPOUT_FUNCTIONS

_ATTENTION = F.scaled_dot_product_attention
_POSITION = 4  # of dropout_p among the arguments of attention


def calls(network: nn.Module, example: Any) -> tuple[set[str], dict[str, int]]:
    """Return which modules training uses, and which call dropout as a function how often."""
    seen, call = _Calls(network), Call.of(example)
    with seen.hooks(), running(call, "training"), undisturbed(network), torch.no_grad():
        network.train()
        with seen:
            call(network)
    return seen.used, dict(seen.found)


def rewrite_without(network: nn.Module, path: str, example: Any) -> None:
    """Give a module a forward without its dropout functions, and prove that nothing else changed.

    Raises:
        UsageError: its forward cannot be traced, or the network would change.
    """
    owner = network.get_submodule(path)
    with _Without():
        before = Behaviour.of(network, example)
    arguments = arguments_of(network, owner, example)
    try:
        graphs = {mode: one_level(owner, mode, arguments) for mode in (True, False)}
    except ValueError as error:
        raise _refusal(owner, path, str(error)) from error
    for graph in graphs.values():
        for node in list(graph.nodes):
            _drop(graph, node)
    rewrite(owner, Rewriting(graphs, arguments))
    if calls(network, example)[1].get(path):
        raise _refusal(owner, path, "it calls dropout where its graph does not show it")
    with _Without():  # the other modules may still have theirs
        after = Behaviour.of(network, example)
    if (reason := before.difference(after)) is not None:
        raise _refusal(owner, path, reason)


def _drop(graph: fx.Graph, node: fx.Node) -> None:
    if node.op != "call_function":
        return
    if node.target in DROPOUT_FUNCTIONS:
        kept = node.args[0] if node.args else node.kwargs["input"]
        assert isinstance(kept, fx.Node)
        node.replace_all_uses_with(kept)
        graph.erase_node(node)
    elif node.target is _ATTENTION:
        node.args, node.kwargs = _undropped(node.args, node.kwargs)


def _undropped(args: tuple[Any, ...], kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of attention with a dropout_p of 0."""
    if len(args) > _POSITION:
        return (*args[:_POSITION], 0.0, *args[_POSITION + 1 :]), dict(kwargs)
    return args, {**kwargs, "dropout_p": 0.0}


class _Calls(TorchFunctionMode):
    """Counts dropout that is called as a function, by the module whose forward calls it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._network = network
        self._frames: list[tuple[str, nn.Module]] = []
        self.used: set[str] = set()
        self.found: Counter[str] = Counter()

    def hooks(self) -> AbstractContextManager[None]:
        """Know which module is at work."""
        return hooked(self._network, self._enter, self._leave)

    def _enter(self, path: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def enter(module: nn.Module, inputs: tuple[Any, ...]) -> None:  # noqa: ARG001
            self._frames.append((path, module))
            self.used.add(path)

        return enter

    def _leave(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:  # noqa: ARG002
        self._frames.pop()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if self._frames and _drops(func, args, kwargs):
            path, module = self._frames[-1]
            if not is_dropout(module):
                self.found[path] += 1
        return func(*args, **kwargs)


class _Without(TorchFunctionMode):
    """Runs everything without dropout functions."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in DROPOUT_FUNCTIONS:
            return args[0] if args else kwargs["input"]
        if func is _ATTENTION:
            args, kwargs = _undropped(args, kwargs)
        return func(*args, **kwargs)


def _drops(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    if func is _ATTENTION:
        return bool(args[_POSITION] if len(args) > _POSITION else kwargs.get("dropout_p"))
    return func in DROPOUT_FUNCTIONS and bool(args[1] if len(args) > 1 else kwargs.get("p", 0.5))


def _refusal(owner: nn.Module, path: str, reason: str) -> UsageError:
    name = f"{type(owner).__name__}.forward" + (f" (at {path})" if path else "")
    return UsageError(
        f"{name} calls dropout as a function, and cannot be rewritten without: {reason}. Give it "
        "an nn.Dropout, or leave this place out by where="
    )
