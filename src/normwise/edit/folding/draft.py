"""The graph that is being folded, and the weights that it holds."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._ops import OpOverload
from torch.fx.graph_module import _assign_attr, _get_attr

from normwise.edit.folding.operations import is_random, set_argument, writes
from normwise.trace import Call


@dataclass
class Draft:
    """A captured graph with weights of its own, free to be changed.

    Attributes:
        module: holds the graph and the weights.
        call: an example.
    """

    module: fx.GraphModule
    call: Call

    @property
    def graph(self) -> fx.Graph:
        """The graph."""
        return self.module.graph

    def copy(self) -> "Draft":
        """Return a draft with a graph of its own; weights are shared, since none is written to."""
        graph = fx.Graph()
        graph.output(graph.graph_copy(self.graph, {}))
        graph.set_codegen(self.graph._codegen)
        return Draft(fx.GraphModule(self.module, graph), self.call)

    # --- reading -----------------------------------------------------------------------------

    def constant(self, node: Any) -> Tensor | None:
        """Return the value of a node that no input reaches, or None where one does.

        Weights that are computed from others, as by a parametrization, count.
        """
        if not isinstance(node, fx.Node) or not _is_fixed(node) or any(map(writes, node.users)):
            return None
        if node.op == "get_attr":
            value = _get_attr(self.module, str(node.target))
            return value if isinstance(value, Tensor) else None
        values = {source: self.constant(source) for source in node.all_input_nodes}
        if any(value is None for value in values.values()):
            return None
        args, kwargs = fx.map_arg((node.args, node.kwargs), lambda source: values[source])
        assert callable(node.target)
        with torch.no_grad():
            return node.target(*args, **kwargs)

    def exclusive(self, node: fx.Node) -> bool:
        """Whether a weight serves one call only, under no other name either."""
        if len(node.users) != 1 or next(iter(node.users)).all_input_nodes.count(node) != 1:
            return False
        value = self.constant(node)
        others = (n for n in self.graph.find_nodes(op="get_attr") if n.users and n is not node)
        return not any(
            isinstance(other := _get_attr(self.module, str(n.target)), Tensor)
            and value is not None
            and other.data_ptr() == value.data_ptr()
            for n in others
        )

    # --- changing ----------------------------------------------------------------------------

    def set_weight(self, call: fx.Node, name: str, value: Tensor, like: Tensor) -> None:
        """Give a call a new weight, with the dtype, device and memory format of another."""
        fresh = torch.empty_like(like) if like.shape == value.shape else like.new_empty(value.shape)
        fresh.copy_(value)
        former = call.args[position(call, name)] if position(call, name) < len(call.args) else None
        target = self._name(call, name, former)
        _assign_attr(nn.Parameter(fresh, requires_grad=False), self.module, target)
        with self.graph.inserting_before(call):
            set_argument(call, name, self.graph.get_attr(target))

    def _name(self, call: fx.Node, name: str, former: Any) -> str:
        """Return the former weight's name where there is one, so that state dicts keep theirs."""
        if isinstance(former, fx.Node) and former.op == "get_attr" and self.exclusive(former):
            return str(former.target)
        path, _ = call.meta.get("place", ("", ""))
        taken = {str(node.target) for node in self.graph.find_nodes(op="get_attr")}
        stem = f"{path}.{name}" if path else f"{call.name}_{name}"
        names = (stem, *(f"{stem}_{number}" for number in range(1, len(taken) + 2)))
        return next(candidate for candidate in names if candidate not in taken)

    def clean(self) -> None:
        """Drop the calls and weights that nothing uses, and write the forward anew."""
        self.graph.eliminate_dead_code()
        self.graph.lint()
        self.module = fx.GraphModule(self.module, self.graph)

    def measure(self) -> None:
        """Run the example, and note what every value is like: shape, strides, dtype, device."""
        inputs = (leaf.clone() if isinstance(leaf, Tensor) else leaf for leaf in self.call.leaves)
        with torch.no_grad():
            _Measuring(self.module).run(*inputs, enable_io_processing=False)

    def replace(self, node: fx.Node, successor: fx.Node) -> None:
        """Let another value take the place of a call's, and forget the call."""
        node.replace_all_uses_with(successor)
        self.graph.erase_node(node)


def position(call: fx.Node, name: str) -> int:
    """Return where an argument stands in a call of an operator."""
    assert isinstance(call.target, OpOverload)
    return [argument.name for argument in call.target._schema.arguments].index(name)


class _Measuring(fx.Interpreter):
    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        # Noted once for all: to ask every time would follow every path through the graph.
        n.meta["fixed"] = _may_be_fixed(n) and all(map(_is_fixed, n.all_input_nodes))
        if isinstance(result, Tensor):
            n.meta["shape"], n.meta["stride"] = tuple(result.shape), result.stride()
            n.meta["dtype"], n.meta["device"] = result.dtype, result.device
            n.meta.setdefault("size", tuple(result.shape))  # symbolic, where the capture knows it
        return result


def _is_fixed(node: fx.Node) -> bool:
    """Whether a value does not depend on the inputs."""
    return node.op == "get_attr" or node.meta.get("fixed", False)


def _may_be_fixed(node: fx.Node) -> bool:
    return (
        isinstance(node.target, OpOverload)
        and bool(node.all_input_nodes)
        and not writes(node)
        and not is_random(node)
    )
