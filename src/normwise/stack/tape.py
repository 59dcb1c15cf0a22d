"""Write down every tensor operation of a function, as a flat torch.fx program.

`torch.fx.experimental.proxy_tensor.make_fx` does this as well. It keeps a symbolic copy of every
result, though, which takes ten times as long as the operations themselves; nobody needs them here.
"""

from collections.abc import Callable, Sequence
from operator import getitem
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.weak import WeakIdKeyDictionary


def taped(function: Callable[..., Sequence[Tensor]], tensors: Sequence[Tensor]) -> fx.GraphModule:
    """Run a function and return what it did, as a program with the same inputs and outputs.

    What happens inside torch.vmap and autograd is written down as it reaches the tensors. A tensor
    that the function takes from elsewhere becomes a constant of the program. Every node's
    `meta["val"]` is its result, without values (on the meta device).

    Args:
        function: takes tensors and returns tensors.
        tensors: to run it on.

    Raises:
        RuntimeError: the function takes a number out of a tensor that depends on its inputs.
    """
    tape = _Tape(tensors)
    with tape:
        results = function(*tensors)
    return tape.program(results)


class _Tape(TorchDispatchMode):
    """Writes operations down while it is entered."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        super().__init__()
        self._graph, self._constants = fx.Graph(), nn.Module()
        self._nodes = WeakIdKeyDictionary()
        self._given: set[fx.Node] = set()  # nodes whose values depend on the inputs
        for number, tensor in enumerate(tensors):
            node = self._graph.placeholder(f"input_{number}")
            self._given.add(node)
            self._note(tensor, node)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do an operation, and write it down."""
        results = func(*args, **(kwargs or {}))
        node = self._graph.call_function(func, *tree_map_only(Tensor, self._node, (args, kwargs)))
        self._follow(node)
        if isinstance(results, Tensor):
            self._note(results, node)
        elif isinstance(results, tuple | list):
            for place, result in enumerate(results):
                if isinstance(result, Tensor):
                    part = self._graph.call_function(getitem, (node, place))
                    self._follow(part)
                    self._note(result, part)
        elif results is not None and node in self._given:
            raise RuntimeError(f"data-dependent control flow: {func} returns {results}")
        return results

    def program(self, results: Sequence[Tensor]) -> fx.GraphModule:
        """Return what has been written down."""
        self._graph.output(tuple(self._node(result) for result in results))
        return fx.GraphModule(self._constants, self._graph)

    def _node(self, tensor: Tensor) -> fx.Node:
        """Return where a tensor comes from."""
        if tensor not in self._nodes:
            name = f"constant_{len(list(self._constants.buffers()))}"
            self._constants.register_buffer(name, tensor)
            self._note(tensor, self._graph.get_attr(name))
        return self._nodes[tensor]

    def _note(self, tensor: Tensor, node: fx.Node) -> None:
        self._nodes[tensor] = node
        sizes = tensor.shape, tensor.stride()
        node.meta["val"] = torch.empty_strided(*sizes, dtype=tensor.dtype, device="meta")

    def _follow(self, node: fx.Node) -> None:
        if not self._given.isdisjoint(node.all_input_nodes):
            self._given.add(node)
