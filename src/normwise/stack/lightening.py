"""Make a recorded program cheap to replay, and tell how much memory it needs."""

import types
from collections.abc import Sequence

import torch
from torch import Tensor, fx

from normwise.stack.products import leave_products
from normwise.stack.sharing import share


def lighten(graph: fx.GraphModule, tensors: Sequence[Tensor]) -> tuple[int, list[bool]]:
    """Leave out what a replay need not do, and bind the program to tensors.

    Args:
        graph: changed in place.
        tensors: stand for its first inputs from now on.

    Returns:
        Bytes of the intermediate results that are alive at once, at most; and for every output
        whether the program returns the factors of a product in its place.
    """
    _simplify(graph)
    placeholders = graph.graph.find_nodes(op="placeholder")
    share(graph, placeholders[len(tensors) :])
    are_products = leave_products(graph)
    memory = _peak(graph)
    _bind(graph, tensors)
    _call_from_python(graph)
    graph.recompile()
    return memory, are_products


def _simplify(graph: fx.GraphModule) -> None:
    """Leave out what does nothing once autograd and vmap are gone."""
    for node in graph.graph.nodes:
        if _does_nothing(node):
            node.replace_all_uses_with(node.args[0])
            graph.graph.erase_node(node)
    graph.graph.eliminate_dead_code()


def _does_nothing(node: fx.Node) -> bool:
    match node.target:
        case torch.ops.aten.detach.default | torch.ops.aten.alias.default:
            return True
        case torch.ops.aten.permute.default:
            return list(node.args[1]) == list(range(len(node.args[1])))  # type: ignore
        case torch.ops.aten.view.default:
            [source, shape] = node.args
            return source.meta["val"].shape == tuple(shape)  # type: ignore
        case _:
            return False


def _bind(graph: fx.GraphModule, tensors: Sequence[Tensor]) -> None:
    """Make the first inputs parts of the program, and take views of them once and for all."""
    bound: dict[fx.Node, Tensor] = {}
    placeholders = [node for node in graph.graph.nodes if node.op == "placeholder"]
    for node, tensor in zip(placeholders, tensors, strict=False):
        bound[node] = tensor
    for node in graph.graph.nodes:
        inputs = node.all_input_nodes
        if _is_view(node) and inputs and all(source in bound for source in inputs):
            args, options = fx.map_arg((node.args, node.kwargs), bound.__getitem__)
            value = node.target(*args, **options)
            if isinstance(value, Tensor):  # and not a list of them
                bound[node] = value
    for number, (node, tensor) in enumerate(bound.items()):
        graph.register_buffer(f"held_{number}", tensor)
        with graph.graph.inserting_before(node):
            held = graph.graph.get_attr(f"held_{number}")
        node.replace_all_uses_with(held)
    for node in reversed(bound):
        graph.graph.erase_node(node)


def _is_view(node: fx.Node) -> bool:
    return isinstance(node.target, torch._ops.OpOverload) and node.target.is_view


def _call_from_python(graph: fx.GraphModule) -> None:
    """Call torch's own Python functions and methods in the place of overloads: half the overhead.

    They are made from the same schemas, so they take the same arguments.
    """
    for node in graph.graph.nodes:
        if isinstance(node.target, torch._ops.OpOverload) and node.target.namespace == "aten":
            name = node.target.overloadpacket.__name__
            function = getattr(torch, name, None)
            method = getattr(Tensor, name, None)
            if isinstance(function, types.BuiltinFunctionType):
                node.target = function
            elif isinstance(method, types.MethodDescriptorType):
                node.op, node.target = "call_method", name


def _peak(graph: fx.GraphModule) -> int:
    """The most bytes of intermediate results that are alive at once."""
    last_use = {source: node for node in graph.graph.nodes for source in node.all_input_nodes}
    alive, peak = 0, 0
    for node in graph.graph.nodes:
        alive += _bytes(node)
        peak = max(peak, alive)
        alive -= sum(_bytes(source) for source in node.all_input_nodes if last_use[source] is node)
    return peak


def _bytes(node: fx.Node) -> int:
    value = node.meta.get("val")
    is_new = node.op == "call_function" and not _is_view(node)
    return value.nbytes if is_new and isinstance(value, Tensor) else 0
