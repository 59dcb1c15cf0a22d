"""Give every activation a module of its own.

An activation that is called as a function, or that shares one module with others, leaves nothing
to hold on to. In an `nn.Sequential` a shared module gives way to copies. Elsewhere the forward of
the one module that calls it is traced (torch.fx, its children untouched), and the call becomes a
call of a new submodule. The owner keeps its identity, names and attributes; only its forward is
new, and it is proved equal to the old one on the example. What its forward reads from attributes
that are no tensors is fixed from then on.
"""

import copy
from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves

from normwise.edit.hosting import free_name
from normwise.edit.probing import Behaviour
from normwise.edit.rewritten import Rewriting, rewrite
from normwise.edit.tracing import arguments_of, one_level
from normwise.errors import Problems, UsageError
from normwise.trace import Activation, Trace
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


class Ownership:
    """A plan to make activations modules of their own, proved but not yet carried out.

    Args:
        network: left as it was until `commit`.
        found: the trace of this network.
        activations: places of the trace, those that are modules of their own among them.
        example: a batch to prove new forwards on.
        problems: takes note of every module whose forward cannot be traced, with the reason; the
            plan is good where it takes note of none.
    """

    def __init__(
        self,
        network: nn.Module,
        found: Trace,
        activations: Iterable[Activation],
        example: Any,
        problems: Problems,
    ) -> None:
        self._network = network
        self._activations = list(activations)
        owners: dict[str, list[Activation]] = {}
        for activation in self._activations:
            if activation.module is None or activation.shared:
                owners.setdefault(activation.owner, []).append(activation)
        before = Behaviour.of(network, example) if owners else Behaviour([], [])
        self._plans: list[_Slots | _Forward] = []
        for path, theirs in owners.items():
            owner = network.get_submodule(path)
            plain = type(owner).forward is nn.Sequential.forward
            with problems.collect():
                plan = (_Slots if plain else _Forward)(network, found, path, theirs)
                plan.check(example, before)
                self._plans.append(plan)

    def commit(self) -> list[nn.Module]:
        """Carry the plan out, and return the module of each activation, in order."""
        own = {
            activation: self._network.get_submodule(activation.module)
            for activation in self._activations
            if activation.module is not None
        }
        for plan in self._plans:
            own |= plan.commit()
        return [own[activation] for activation in self._activations]


class _Slots:
    """Copies of a shared activation, one for each slot of an `nn.Sequential`."""

    def __init__(
        self, network: nn.Module, found: Trace, path: str, activations: list[Activation]
    ) -> None:
        self.owner, self.activations = network.get_submodule(path), activations
        modules = _modules(network, found)
        self.slots = [name for name, child in self.owner._modules.items() if child in modules]

    def check(self, example: Any, before: Behaviour) -> None:
        """Find no fault: a copy computes what the original does."""

    def commit(self) -> dict[Activation, nn.Module]:
        """Fill the slots."""
        own = {}
        for activation in self.activations:
            slot = self.slots[activation.position]
            own[activation] = _twin(self.owner.get_submodule(slot))
            self.owner.add_module(slot, own[activation])
        return own


class _Forward:
    """The new forward of one owner."""

    def __init__(
        self, network: nn.Module, found: Trace, path: str, activations: list[Activation]
    ) -> None:
        self.network, self.path, self.activations = network, path, activations
        self.modules = _modules(network, found)
        self.owner = network.get_submodule(path)
        self.former = type(self.owner)
        self.guests: dict[Activation, tuple[str, nn.Module]] = {}
        self.rewriting = Rewriting({}, None)

    def check(self, example: Any, before: Behaviour) -> None:
        """Make the new forward, and prove that the network still does what it did."""
        arguments = arguments_of(self.network, self.owner, example)
        try:
            graphs = {mode: one_level(self.owner, mode, arguments) for mode in (True, False)}
        except ValueError as error:
            raise self._refusal(str(error)) from error
        self.rewriting = Rewriting(graphs, arguments)
        calls = {mode: list(filter(self._name, g.nodes)) for mode, g in graphs.items()}
        names = [[self._name(node) for node in nodes] for nodes in calls.values()]
        if names[0] != names[1] or len(names[0]) <= max(a.position for a in self.activations):
            raise self._refusal("its activations differ from one pass to the next")
        for activation in self.activations:
            for mode, graph in graphs.items():
                self._redirect(graph, calls[mode][activation.position], activation)
        self._prove(example, before)

    def commit(self) -> dict[Activation, nn.Module]:
        """Put the new forward in place."""
        for name, guest in self.guests.values():
            self.owner.add_module(name, guest.train(self.owner.training))
        rewrite(self.owner, self.rewriting)
        return {activation: guest for activation, (_, guest) in self.guests.items()}

    def _undo(self) -> None:
        self.owner.__class__ = self.former
        for name, _ in self.guests.values():
            delattr(self.owner, name)

    def _name(self, node: fx.Node) -> str | None:
        """Return the name of the activation that a node calls, or None where it calls none."""
        if node.op == "call_function":
            return ACTIVATIONS.get(node.target)
        if node.op == "call_method":
            return ACTIVATIONS.get(getattr(Tensor, str(node.target), None))
        if node.op == "call_module" and self.owner.get_submodule(str(node.target)) in self.modules:
            return str(node.target)
        return None

    def _redirect(self, graph: fx.Graph, node: fx.Node, activation: Activation) -> None:
        """Replace one call of an activation by a call of a new submodule."""
        if activation not in self.guests:
            name = free_name(self.owner, f"{activation.name}_{activation.position}")
            self.guests[activation] = name, self._guest(node)
        name, _ = self.guests[activation]
        with graph.inserting_before(node):
            call = graph.call_module(name, (node.args[0] if node.args else node.kwargs["input"],))
        node.replace_all_uses_with(call)
        graph.erase_node(node)

    def _guest(self, node: fx.Node) -> nn.Module:
        if node.op == "call_module":
            return _twin(self.owner.get_submodule(str(node.target)))
        extra = {key: value for key, value in node.kwargs.items() if key != "input"}
        if any(isinstance(leaf, fx.Node) for leaf in tree_leaves((node.args[1:], extra))):
            raise self._refusal("an argument of the activation is computed")
        function = node.target if callable(node.target) else getattr(Tensor, str(node.target))
        return Apply(function, *node.args[1:], **extra)

    def _prove(self, example: Any, before: Behaviour) -> None:
        self.commit()
        try:
            after = Behaviour.of(self.network, example)
        except Exception as error:
            raise self._refusal(f"the traced copy fails ({error})") from error
        finally:
            self._undo()
        if (reason := before.difference(after)) is not None:
            raise self._refusal(reason)

    def _refusal(self, reason: str) -> UsageError:
        label = f"{self.former.__name__}.forward" + (f" (at {self.path})" if self.path else "")
        names = ", ".join(sorted({a.name for a in self.activations}))
        return UsageError(
            f"{label} calls {names} as a function or through a shared module, and cannot be "
            f"rewritten: {reason}. Give each activation an nn.Module of its own, or pass your "
            "changed network as a variant: variants={'mine': make_other}."
        )


def _modules(network: nn.Module, found: Trace) -> set[nn.Module | None]:
    return {network.get_submodule(path) for path in found.activation_modules}


def _twin(module: nn.Module) -> nn.Module:
    """Return a copy that shares its parameters with the original."""
    return copy.deepcopy(module, {id(parameter): parameter for parameter in module.parameters()})
