"""Follow the units of a network through one forward pass."""

from typing import Any

from torch import Tag, Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.hooks import RemovableHandle

from normwise.edit.units.couplings import Axes, Couplings, fixed_axes
from normwise.edit.units.operators import Operand, Operation, rule_for
from normwise.edit.units.running import quiet, tensors_in
from normwise.edit.units.sizes import channels, counters, tensors_of
from normwise.trace import Call


class Follower(TorchDispatchMode):
    """Sees every operator that a network calls, and applies what is known about it.

    Args:
        couplings: takes note of what the operators do.
        tensors: parameters and buffers, by the names that `couplings` has for them.
    """

    def __init__(self, couplings: Couplings, tensors: dict[str, Tensor]) -> None:
        super().__init__()
        self._couplings = couplings
        self._operands = {
            id(tensor): Operand(couplings.axes[name], weight=True)
            for name, tensor in tensors.items()
        }
        self._alive: list[Tensor] = []  # a freed tensor's id would be given to another

    def operand(self, tensor: Tensor) -> Operand:
        """Return what is known about a tensor."""
        return self._operands.get(id(tensor), Operand(fixed_axes(tuple(tensor.shape))))

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        schema = func._schema.arguments
        given = dict(zip((argument.name for argument in schema), args, strict=False)) | kwargs
        arguments = {a.name: given.get(a.name, a.default_value) for a in schema}
        before = tree_map(self._known, arguments)
        output = func(*args, **kwargs)
        results = [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]
        operands = tuple(leaf for leaf in tree_leaves(before) if isinstance(leaf, Operand))
        if results and operands:
            shapes = tuple(tuple(result.shape) for result in results)
            name = func.overloadpacket.__name__
            name = name.removesuffix("_") if Tag.inplace in func.tags else name
            rule = rule_for(name, pointwise=Tag.pointwise in func.tags)
            call = Operation(name, before, operands, shapes)
            self._note(results, rule(call, self._couplings), all(o.weight for o in operands))
        return output

    def count(self, norm: nn.Module, name: str) -> RemovableHandle:
        """Join the channels that a norm without tensors sees with the number that it holds."""

        def join(norm: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:  # noqa: ARG001
            axes = self.operand(args[0] if args else kwargs["input"]).axes
            self._couplings.join(axes[1], self._couplings.axes[name][0])

        return norm.register_forward_pre_hook(join, with_kwargs=True)

    def _known(self, value: Any) -> Any:
        return self.operand(value) if isinstance(value, Tensor) else value

    def _note(self, results: list[Tensor], axes: list[Axes], weight: bool) -> None:
        for result, its_axes in zip(results, axes, strict=True):
            if id(result) not in self._operands:  # else it was changed in place
                self._alive.append(result)
                self._operands[id(result)] = Operand(its_axes, weight)


def follow(network: nn.Module, example: Call) -> Couplings:
    """Run a network in both modes and return how its units belong together.

    Raises:
        UsageError: it gives no tensors.
        Exception: whatever the network raises on `example`.
    """
    tensors = tensors_of(network)
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    counted = counters(network)
    couplings = Couplings(shapes | {n: (channels(norm),) for n, norm in counted.items()})
    for training in (True, False):
        with quiet(network, training=training), Follower(couplings, tensors) as follower:
            hooks = [follower.count(norm, name) for name, norm in counted.items()]
            try:
                output = example(network)
            finally:
                for hook in hooks:
                    hook.remove()
            for tensor in tensors_in(output):
                for nodes in follower.operand(tensor).axes:
                    couplings.fix(nodes, "an output of the network")
    return couplings
