"""Capture by torch.fx, for networks that torch.export cannot take in.

torch.fx follows the Python code only, and leaves torch's own modules closed. So each of those that
can be folded is captured by torch.export alone, hooks and all, and put in its place; the rest,
such as operators that nobody but their author knows, stays as it is.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.fx.graph_module import _get_attr
from torch.utils._pytree import tree_leaves

from normwise.edit.folding.captured import Captured, Form, assemble, quiet
from normwise.edit.folding.draft import Draft
from normwise.edit.folding.exported import Flat, by_export, own_name
from normwise.edit.folding.layers import LAYERS
from normwise.edit.folding.norms import NORMS
from normwise.edit.folding.operations import DROPOUTS, MOVES, aten
from normwise.trace import Call
from normwise.trace.functions import DROPOUT_FUNCTIONS, NORM_FUNCTIONS

_FUNCTIONS: set[Any] = {
    *(F.linear, F.conv1d, F.conv2d, F.conv3d),
    *(F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d),
    *(torch.flatten, torch.transpose, torch.permute),
    *NORM_FUNCTIONS,
    *DROPOUT_FUNCTIONS,
}
_METHODS = {"flatten", "transpose", "permute"}
_OPENED = LAYERS | NORMS | DROPOUTS | MOVES | {aten.flatten.using_ints}


def by_fx(network: nn.Module, form: Form) -> Captured:
    """Capture a network in evaluation mode.

    Raises:
        Exception: torch.fx cannot trace it, or its graph does not run.
    """
    call = form.call
    flat = Flat(network, call)
    with quiet(), torch.no_grad():
        traced = fx.GraphModule(flat, _Tracer(len(call.tensors)).trace(flat))
        opener = _Opener(traced, form)
        opener.run(*(tensor.clone() for tensor in call.tensors))
    conditions = [
        f"inputs[{number}].ndim == {leaf.ndim}"
        if isinstance(leaf, Tensor)
        else f"inputs[{number}] {'is' if leaf is None else '=='} {leaf!r}"
        for number, leaf in enumerate(call.leaves)
    ]
    draft = assemble(opener.opened, opener.attributes, form, conditions)
    shapes = (f"({', '.join(['any'] * tensor.ndim)})" for tensor in call.tensors)
    return Captured(draft, "torch.fx", tuple(shapes))


class _Tracer(fx.Tracer):
    """Traces a `Flat`, with as many tensors as it takes."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._count = count

    def create_args_for_root(
        self,
        root_fn: Any,
        is_module: bool,  # noqa: ARG002
        concrete_args: Any = None,  # noqa: ARG002
    ) -> tuple[Callable[..., Any], list[Any]]:
        names = (f"tensor_{number}" for number in range(self._count))
        return root_fn, [
            self.root,
            *(self.create_proxy("placeholder", name, (), {}) for name in names),
        ]


class _Piece(nn.Module):
    """One call of a function or method, as a network of its own."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self._function = function

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)


class _Opener(fx.Interpreter):
    """Runs a graph, and copies it with the calls that can be folded replaced by operators.

    Attributes:
        opened: the copy.
        attributes: the weights and modules that it names.
    """

    def __init__(self, traced: fx.GraphModule, form: Form) -> None:
        super().__init__(traced, garbage_collect_values=False)
        self.opened, self.attributes = fx.Graph(), dict[str, Any]()
        self._form = form
        copies = map(self.opened.placeholder, form.leaf_names)
        pairs = zip(list(copies), form.call.leaves, strict=True)
        inputs = (copy for copy, leaf in pairs if isinstance(leaf, Tensor))
        self._copies = dict(zip(traced.graph.find_nodes(op="placeholder"), inputs, strict=True))

    def run_node(self, n: fx.Node) -> Any:
        """Run a node, and copy it."""
        arguments = self.fetch_args_kwargs_from_env(n)
        result = super().run_node(n)
        if n.op != "placeholder":
            piece = self._piece(n, arguments, result)
            self._copies[n] = self._inlined(n, piece) if piece else self._copied(n)
        return result

    def _copied(self, node: fx.Node) -> fx.Node:
        copy = self.opened.node_copy(node, self._copies.__getitem__)
        copy.meta = {"place": (_owner(node), "")}
        if node.op in ("get_attr", "call_module"):
            copy.target = own_name(node)
            self.attributes[own_name(node)] = _get_attr(self.module, str(node.target))
        elif node.op == "output" and self._form.plain:
            copy.args = tuple(copy.all_input_nodes)
        return copy

    def _piece(self, node: fx.Node, arguments: tuple[Any, Any], result: Any) -> Draft | None:
        """Capture one call, where its operators matter and depend on tensors alone."""
        if not all(isinstance(self.env[source], Tensor) for source in node.all_input_nodes):
            return None
        if node.op == "call_module":
            module = self.module.get_submodule(str(node.target))
        elif node.op == "call_method" and node.target in _METHODS:
            module = _Piece(getattr(Tensor, str(node.target)))
        elif callable(node.target) and node.target in _FUNCTIONS:
            module = _Piece(node.target)
        else:
            return None
        try:
            form = Form.of(module, Call.of_arguments(*arguments), result)
            draft = by_export(module, form, dynamic=False).draft
        except Exception:  # it stays closed
            return None
        operators = {inner.target for inner in draft.graph.nodes if inner.op == "call_function"}
        return draft if operators <= _OPENED and isinstance(result, Tensor) else None

    def _inlined(self, node: fx.Node, piece: Draft) -> fx.Node:
        inputs = piece.graph.find_nodes(op="placeholder")
        given = zip(inputs, tree_leaves((node.args, node.kwargs)), strict=True)
        copies = {put: self._copies[leaf] for put, leaf in given if isinstance(leaf, fx.Node)}
        for inner in piece.graph.nodes:
            if inner.op in ("placeholder", "call_module"):  # of modules there are guards only
                continue
            if inner.op == "output":
                return copies[inner.all_input_nodes[0]]
            copies[inner] = copy = self.opened.node_copy(inner, copies.__getitem__)
            path, kind = inner.meta.get("place", ("", ""))
            copy.meta = {"place": (".".join(filter(None, (_owner(node), path))), kind)}
            if inner.op == "get_attr":
                copy.target = f"{own_name(node)}.{inner.target}"
                self.attributes[copy.target] = _get_attr(piece.module, str(inner.target))
        raise AssertionError("a graph ends with its output")


def _owner(node: fx.Node) -> str:
    """Return the path of the module that makes a call."""
    if node.op == "call_module":
        return own_name(node)
    path = next(reversed(node.meta.get("nn_module_stack") or {"": None}))
    return path.removeprefix("network").removeprefix(".")
