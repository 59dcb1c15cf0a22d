"""Capture by torch.export: the operators that really run, hooks and functions included."""

import re
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export import Dim, ExportedProgram
from torch.fx.graph_module import _get_attr
from torch.utils._pytree import tree_leaves

from normwise.edit.folding.captured import Captured, Form, assemble, quiet
from normwise.trace import Call

Size = tuple[str, ...]  # a number, or a symbol where it may vary


class Flat(nn.Module):
    """Takes a network's tensors by position and returns its output's leaves."""

    def __init__(self, network: nn.Module, call: Call) -> None:
        super().__init__()
        self.network, self._call = network, call

    def forward(self, *tensors: Tensor) -> tuple[Any, ...]:
        """Call the network."""
        call = self._call.replaced(tensors)
        return tuple(tree_leaves(self.network(*call.args, **call.kwargs)))


def by_export(network: nn.Module, form: Form, *, dynamic: bool) -> Captured:
    """Capture a network in evaluation mode.

    Args:
        network: in evaluation mode.
        form: how it is called; where `dynamic`, with a batch of two or more.
        dynamic: let every size vary that the network does not fix itself.

    Raises:
        Exception: torch.export cannot capture it.
    """
    call = form.call
    flat = Flat(network, call)
    size = Dim.AUTO if dynamic else Dim.STATIC
    dims = tuple(dict.fromkeys(range(tensor.ndim), size) for tensor in call.tensors)
    tensors = tuple(tensor.clone() for tensor in call.tensors)
    with quiet(), torch.no_grad():
        program = torch.export.export(flat, tensors, dynamic_shapes=(dims,), strict=False)
        holder = program.module(check_guards=False)
    graph, sizes = _rewired(holder.graph, form)
    attributes = {
        own_name(node): _get_attr(holder, node.target)
        for node in holder.graph.find_nodes(op="get_attr")
    }
    conditions = _conditions(program, call, sizes)
    draft = assemble(graph, attributes, form, conditions)
    shapes = (f"({', '.join(map(_told, size))})" for size in sizes.values())
    return Captured(draft, "torch.export", tuple(shapes))


def _rewired(found: fx.Graph, form: Form) -> tuple[fx.Graph, dict[int, Size]]:
    """Return the graph as one of the network itself, with all leaves of its arguments as inputs.

    Returns:
        The graph, and for each leaf that is a tensor its sizes, symbolic where they may vary.
    """
    graph, sizes = fx.Graph(), {}
    copies: dict[fx.Node, fx.Node] = {}
    tensors = iter(found.find_nodes(op="placeholder"))
    for number, (name, leaf) in enumerate(zip(form.leaf_names, form.call.leaves, strict=True)):
        copy = graph.placeholder(name)
        if isinstance(leaf, Tensor):
            node = next(tensors)
            sizes[number] = tuple(map(str, node.meta["val"].shape))
            copies[node], copy.meta = copy, _meta(node)
    for node in found.nodes:
        if node.op == "get_attr":
            copies[node] = graph.get_attr(own_name(node))
        elif node.op != "placeholder":
            copies[node] = copy = graph.node_copy(node, copies.__getitem__)
            copy.meta = _meta(node)
            if node.op == "output" and form.plain:
                copy.args = tuple(copy.all_input_nodes)
    return graph, sizes


def own_name(node: fx.Node) -> str:
    """Return the name in the network of what a node names in a `Flat`."""
    return str(node.target).removeprefix("network.")


def _meta(node: fx.Node) -> dict[str, Any]:
    """Return what folding asks of a node: its symbolic size, and the module that makes the call."""
    meta: dict[str, Any] = {}
    if isinstance(value := node.meta.get("val"), Tensor):
        meta["size"] = tuple(map(str, value.shape))
    for path, kind in (node.meta.get("nn_module_stack") or {}).values():
        path = re.sub(r"@\d+", "", path).removeprefix("network").removeprefix(".")
        meta["place"] = (
            path,
            kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__name__}",
        )
    return meta


def _conditions(program: ExportedProgram, call: Call, sizes: dict[int, Size]) -> list[str]:
    """Return what inputs must be like for the graph to be the network's."""
    found = [f"inputs[{n}].ndim == {len(size)}" for n, size in sizes.items()]
    found += [
        f"inputs[{number}].shape[{axis}] == {length}"
        for number, size in sizes.items()
        for axis, length in enumerate(size)
        if length.isdecimal()
    ]
    for number, leaf in enumerate(call.leaves):
        if not isinstance(leaf, Tensor):
            found.append(f"inputs[{number}] {'is' if leaf is None else '=='} {leaf!r}")
    numbers = list(sizes)
    for guard in program._guards_code:
        guard = re.sub(r"L\['tensors'\]\[(\d+)\]", lambda m: f"inputs[{numbers[int(m[1])]}]", guard)
        found.append(re.sub(r"\.size\(\)", ".shape", guard))
    return list(dict.fromkeys(found))


def _told(length: str) -> str:
    return length if length.isdecimal() else "any"
