"""Give an activation a module of its own.

An activation that is called as a function, or that shares one module with others, leaves nothing
to hold on to. Here the forward of the one module that calls it is traced (torch.fx, its children
untouched), and the call becomes a call of a new submodule. The owner keeps its identity, names and
attributes; only its forward is new, and it is proved equal to the old one on the example.
"""

import copy
import inspect
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves

from normwise.errors import Problems, UsageError
from normwise.trace import Activation, Trace, undisturbed
from normwise.trace.functions import ACTIVATIONS


class Apply(nn.Module):
    """An activation function, with the arguments that it was called with, as a module."""

    def __init__(self, function: Callable[..., Tensor], *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self.function, self.args, self.kwargs = function, args, kwargs

    def forward(self, x: Tensor) -> Tensor:
        """Apply the function to `x`."""
        return self.function(x, *self.args, **self.kwargs)

    def extra_repr(self) -> str:
        """Show the function and its arguments."""
        named = (f"{key}={value!r}" for key, value in self.kwargs.items())
        return ", ".join((ACTIVATIONS[self.function], *map(repr, self.args), *named))


def own_activations(
    network: nn.Module, found: Trace, activations: Iterable[Activation], example: Tensor
) -> list[str]:
    """Make every activation a module of its own, used once, and return the modules' paths.

    Activations that are one already stay as they are.

    Args:
        network: changed in place; left as it was if anything is refused.
        found: the trace of this network.
        activations: those of the trace that are to become modules.
        example: a batch to prove the new forward on.

    Returns:
        A path for each activation, in the same order.

    Raises:
        UsageError: a module's forward cannot be traced, with the reason for each.
    """
    activations = list(activations)
    paths = {a: a.module for a in activations if a.module is not None and a.calls == 1}
    owners: dict[str, list[Activation]] = {}
    for activation in activations:
        if activation not in paths:
            owners.setdefault(activation.owner, []).append(activation)
    problems = Problems()
    rewritten = []
    for owner, theirs in owners.items():
        with problems.collect():
            rewritten.append(_Rewrite(network, found, owner, theirs, example))
    problems.raise_if_any()
    for rewrite in rewritten:
        paths |= rewrite.commit()
    return [str(paths[activation]) for activation in activations]


class _Rewrite:
    """The new forward of one owner, made and proved, but not yet in place."""

    def __init__(
        self,
        network: nn.Module,
        found: Trace,
        path: str,
        activations: list[Activation],
        example: Tensor,
    ) -> None:
        self.path, self.activations, self.modules = path, activations, found.activation_modules
        self.owner = network.get_submodule(path)
        self.label = f"{type(self.owner).__name__}.forward" + (f" (at {path})" if path else "")
        self.guests: dict[str, nn.Module] = {}
        self.former = type(self.owner)
        args = _arguments(network, self.owner, example)
        # A forward may ask for self.training, so each mode has a graph of its own.
        self.forwards = {mode: self._forward(mode, args) for mode in (True, False)}
        self._prove(network, example)

    def commit(self) -> dict[Activation, str | None]:
        """Put the new forward in place."""
        for name, guest in self.guests.items():
            self.owner.add_module(name, guest.train(self.owner.training))
        self.owner.__class__ = _with_forward(self.former, self.forwards)
        return {a: self._path(_name(a)) for a in self.activations}

    def _undo(self) -> None:
        self.owner.__class__ = self.former
        for name in self.guests:
            delattr(self.owner, name)

    def _forward(self, training: bool, args: dict[str, Any]) -> Callable[..., Any]:
        graph = self._graph(training, args)
        calls = [node for node in graph.nodes if self._is_activation(node)]
        for activation in self.activations:
            if activation.position >= len(calls):
                raise self._refusal("its activations differ from one pass to the next")
            self._redirect(graph, calls[activation.position], _name(activation))
        code = graph.python_code("self")
        namespace = dict(code.globals)
        exec(code.src, namespace)
        return namespace["forward"]

    def _graph(self, training: bool, args: dict[str, Any]) -> fx.Graph:
        constants = {k: v for k, v in args.items() if not _has_tensor(v)}
        with undisturbed(self.owner), _slow_path():
            self.owner.train(training)
            try:
                return _OneLevel().trace(self.owner, constants or None)
            except Exception as error:
                raise self._refusal(str(error).splitlines()[0]) from error

    def _is_activation(self, node: fx.Node) -> bool:
        if node.op == "call_function":
            return node.target in ACTIVATIONS
        if node.op == "call_method":
            return getattr(Tensor, str(node.target), None) in ACTIVATIONS
        return node.op == "call_module" and self._path(str(node.target)) in self.modules

    def _path(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def _redirect(self, graph: fx.Graph, node: fx.Node, name: str) -> None:
        """Replace one call of an activation by a call of a new submodule."""
        self.guests.setdefault(name, self._guest(node))
        with graph.inserting_before(node):
            call = graph.call_module(name, (node.args[0] if node.args else node.kwargs["input"],))
        node.replace_all_uses_with(call)
        graph.erase_node(node)

    def _guest(self, node: fx.Node) -> nn.Module:
        if node.op == "call_module":
            shared = self.owner.get_submodule(str(node.target))
            if next(shared.parameters(), None) is not None:
                raise self._refusal(f"several places share the parameters of {node.target}")
            return copy.deepcopy(shared)
        extra = {key: value for key, value in node.kwargs.items() if key != "input"}
        if any(isinstance(leaf, fx.Node) for leaf in tree_leaves((node.args[1:], extra))):
            raise self._refusal("an argument of the activation is computed")
        function = node.target if callable(node.target) else getattr(Tensor, str(node.target))
        return Apply(function, *node.args[1:], **extra)

    def _prove(self, network: nn.Module, example: Tensor) -> None:
        before = _outputs(network, example)
        self.commit()
        try:
            after = _outputs(network, example)
        except Exception as error:
            raise self._refusal(f"the traced copy fails ({error})") from error
        finally:
            self._undo()
        if len(before) != len(after) or not all(map(_equal, before, after)):
            raise self._refusal("it depends on more than its inputs and the traced copy differs")

    def _refusal(self, reason: str) -> UsageError:
        names = ", ".join(sorted({a.name for a in self.activations}))
        return UsageError(
            f"{self.label} calls {names} as a function or through a shared module, and cannot be "
            f"rewritten: {reason}. Give each activation an nn.Module of its own, or pass your "
            "changed network as a variant: variants={'mine': make_other}."
        )


class _OneLevel(fx.Tracer):
    """Traces one module's own forward and leaves its children alone."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:  # noqa: ARG002
        return True


def _with_forward(base: type[nn.Module], forwards: dict[bool, Callable[..., Any]]) -> type:
    signature = inspect.signature(base.forward)

    def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        return forwards[self.training](*bound.args, **bound.kwargs)

    return type(base.__name__, (base,), {"forward": forward, "__module__": base.__module__})


def _name(activation: Activation) -> str:
    return f"{activation.name}_{activation.position}"


def _arguments(network: nn.Module, owner: nn.Module, example: Tensor) -> dict[str, Any]:
    """The arguments that the owner's forward is called with, by name."""
    calls: list[dict[str, Any]] = []

    def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        bound = inspect.signature(type(module).forward).bind(module, *args, **kwargs)
        bound.apply_defaults()
        calls.append(dict(list(bound.arguments.items())[1:]))

    handle = owner.register_forward_pre_hook(note, with_kwargs=True)
    try:
        with undisturbed(network), torch.no_grad():
            network.train()(example)
    finally:
        handle.remove()
    return calls[0]


def _outputs(network: nn.Module, example: Tensor) -> list[Tensor]:
    """What the network computes in both modes, on all and on half of the example."""
    found: list[Tensor] = []
    for training in (True, False):
        for batch in (example, example[: max(2, len(example) // 2)]):
            with undisturbed(network), torch.no_grad():
                torch.manual_seed(0)
                leaves = tree_leaves(network.train(training)(batch.clone()))
                found += [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    return found


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, rtol=0, atol=0, equal_nan=True)


def _has_tensor(value: Any) -> bool:
    return any(isinstance(leaf, Tensor) for leaf in tree_leaves(value))


@contextmanager
def _slow_path() -> Iterator[None]:
    """Keep nn.TransformerEncoderLayer from asking a proxy for its shape."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
