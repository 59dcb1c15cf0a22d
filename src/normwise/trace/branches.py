"""Where residual branches end, found by following the tensors of one real forward pass.

A residual branch is what is added to a tensor that it was computed from: b in a + b, where b
depends on a. It counts where it ends in a module of its own, which can be told to drop it. Behind
that module there may be functions f with f(c x) = c f(x) for every c >= 0, element by element: what
is dropped and scaled before them is so behind them.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from normwise.trace.call import Call
from normwise.trace.hooking import hooked
from normwise.trace.undisturbed import undisturbed

_SUMS = {
    torch.add,
    Tensor.add,
    Tensor.add_,
    Tensor.__add__,
    Tensor.__radd__,
    Tensor.__iadd__,
}
_SCALE_ALONG = {
    F.relu,
    F.relu_,
    F.leaky_relu,
    F.leaky_relu_,
    F.dropout,
    torch.relu,
    torch.relu_,
    Tensor.relu,
    Tensor.relu_,
}


@dataclass(frozen=True)
class Branch:
    """A residual branch.

    Attributes:
        path: of the module that ends it, up to functions that scale along, or None.
        place: path of the module whose forward adds.
        shape: of what is added.
        unfit: why it cannot be dropped where it ends; "" if it can.

    Example:
        >>> Branch("block.conv2", "block", (8, 16, 4, 4)).unfit
        ''
    """

    path: str | None
    place: str
    shape: tuple[int, ...]
    unfit: str = ""


def branches(network: nn.Module, example: Any) -> tuple[Branch, ...]:
    """Run a network once in training mode and return its residual branches, in order.

    The network is left as it was: parameters, buffers, modes, hooks and random state.

    Args:
        network: any module that runs on `example`.
        example: one batch of inputs, a tensor, a tuple of arguments or a dict of named ones; norms
            over the batch need at least two samples.

    Raises:
        UsageError: `example` is none.
        Exception: whatever the network raises on it.

    Example:
        >>> class Block(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.fc = nn.Linear(4, 4)
        ...
        ...     def forward(self, x):
        ...         return x + self.fc(x)
        >>> [branch.path for branch in branches(nn.Sequential(Block(), Block()), torch.ones(2, 4))]
        ['0.fc', '1.fc']
    """
    follower = _Follower()
    hooks = hooked(network, follower.enter, follower.leave)
    with undisturbed(network), torch.no_grad(), hooks, follower:
        Call.of(example)(network.train())
    return follower.found()


class _Follower(TorchFunctionMode):
    """Numbers every tensor that is computed, and knows which it was computed from."""

    def __init__(self) -> None:
        super().__init__()
        self._numbers: dict[int, int] = {}
        self._ancestors: list[int] = []  # of each number, itself among them: a set of bits
        self._alive: list[Tensor] = []  # a freed tensor's id would be given to another
        self._uses: Counter[int] = Counter()
        self._ends: dict[int, str] = {}
        self._before: dict[int, int] = {}  # a function that scales along
        self._calls: Counter[str] = Counter()
        self._modules: list[str] = []
        self._sums: list[tuple[int, str, tuple[int, ...]]] = []

    # --- what modules tell -------------------------------------------------------------------

    def enter(self, path: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        """Return the hook that runs before a module."""

        def note(module: nn.Module, inputs: tuple[Any, ...]) -> None:  # noqa: ARG001
            self._calls[path] += 1
            self._modules.append(path)

        return note

    def leave(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:  # noqa: ARG002
        """Note whose output a tensor is: the innermost module's, which hands it out first."""
        path = self._modules.pop()
        # What an nn.Sequential hosts would become one of its steps.
        if isinstance(output, Tensor) and not isinstance(module, nn.Sequential):
            self._ends.setdefault(self._number(output), path)
        if not self._modules:
            self._uses.update(self._number(leaf) for leaf in _tensors(output))

    # --- what functions tell -----------------------------------------------------------------

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        given = [self._number(tensor) for tensor in _tensors((args, kwargs))]
        output = func(*args, **kwargs)
        results = [args[0]] if func is Tensor.__setitem__ else _tensors(output)
        if results:
            self._uses.update(given)
        if func in _SUMS and len(args) == 2 and all(isinstance(arg, Tensor) for arg in args):
            self._note_sum(args, given)
        for tensor in results:
            self._compute(tensor, given)
        if func in _SCALE_ALONG and len(given) == 1:
            self._before[self._number(output)] = given[0]
        return output

    def _note_sum(self, args: tuple[Any, ...], given: list[int]) -> None:
        one, other = given
        if one == other or args[0].shape != args[1].shape:
            return
        for skip, branch in ((one, other), (other, one)):
            if self._ancestors[branch] >> skip & 1:
                place = self._modules[-1] if self._modules else ""
                self._sums.append((branch, place, tuple(args[0].shape)))

    # --- what tensors remember ---------------------------------------------------------------

    def _number(self, tensor: Tensor) -> int:
        if id(tensor) not in self._numbers:
            self._compute(tensor, [])
        return self._numbers[id(tensor)]

    def _compute(self, tensor: Tensor, given: list[int]) -> None:
        number = len(self._ancestors)
        if id(tensor) not in self._numbers:
            self._alive.append(tensor)
        self._numbers[id(tensor)] = number
        ancestors = 1 << number
        for other in given:
            ancestors |= self._ancestors[other]
        self._ancestors.append(ancestors)

    # --- what came out -----------------------------------------------------------------------

    def found(self) -> tuple[Branch, ...]:
        """Return what the pass has shown."""
        ends = [(self._end(branch), place, shape) for branch, place, shape in self._sums]
        return tuple(
            Branch(self._ends.get(end), place, shape, self._unfit(end))
            for end, place, shape in ends
        )

    def _end(self, branch: int) -> int:
        """Return the output of the module that ends a branch, or what no module ends."""
        while branch not in self._ends and branch in self._before and self._uses[branch] == 1:
            branch = self._before[branch]
        return branch

    def _unfit(self, branch: int) -> str:
        path = self._ends.get(branch)
        if path is None:
            return "it ends in a function, not in a module of its own"
        if self._calls[path] > 1:
            return f"{path} is called {self._calls[path]} times in a pass, not for it alone"
        if self._uses[branch] > 1:
            return f"the output of {path} is used elsewhere, too"
        return ""


def _tensors(values: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]
