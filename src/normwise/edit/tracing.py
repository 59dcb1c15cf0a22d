"""Write one module's own forward down as a graph, its children untouched."""

import functools
import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_map

from normwise.edit.rewritten import TENSOR, bind, pattern
from normwise.trace import Call, undisturbed


def one_level(owner: nn.Module, training: bool, arguments: Any) -> fx.Graph:
    """Trace a module's forward in one mode; every child is called as a whole.

    Args:
        owner: left as it was.
        training: the mode; a forward may ask for it, so each has a graph of its own.
        arguments: by `arguments_of`.

    Raises:
        ValueError: it cannot be traced, or does more than its graph would; says why.
    """
    with undisturbed(owner), _slow_path():
        owner.train(training)
        before = _Surroundings(owner)
        try:
            graph = _OneLevel(arguments).trace(owner)
            before.check()
        except Exception as error:
            raise ValueError(str(error).splitlines()[0]) from error
    return graph


def arguments_of(network: nn.Module, owner: nn.Module, example: Any) -> Any:
    """Return the pattern of the arguments that the owner's forward is first called with."""
    calls: list[Any] = []

    def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        calls.append(pattern(bind(module, args, kwargs)))

    handle = owner.register_forward_pre_hook(note, with_kwargs=True)
    try:
        with undisturbed(network), torch.no_grad():
            Call.of(example)(network.train())
    finally:
        handle.remove()
    return calls[0]


def probe(network: nn.Module, example: Any, modes: Sequence[bool] = (True, False)) -> list[Tensor]:
    """Return what a network computes in these modes, on all and on half of the example.

    A network that takes no batch of another size is run on all of it alone.
    """
    whole = Call.of(example)
    half = whole.resized(lambda tensor: tensor[: max(2, len(tensor) // 2)])
    found: list[Tensor] = []
    for training in modes:
        found += _outputs(network, training, whole)
        with suppress(Exception):
            found += _outputs(network, training, half)
    return found


def _outputs(network: nn.Module, training: bool, call: Call) -> list[Tensor]:
    with undisturbed(network), torch.no_grad(), _slow_path():
        torch.manual_seed(0)
        return [leaf for leaf in call.outputs(network.train(training)) if isinstance(leaf, Tensor)]


def same(before: list[Tensor], after: list[Tensor]) -> bool:
    """Whether two probes are the same, bit for bit."""
    return len(before) == len(after) and all(map(_equal, before, after))


class _OneLevel(fx.Tracer):
    """Traces one module's own forward, for given arguments, and leaves its children alone."""

    def __init__(self, arguments: Any) -> None:
        super().__init__()
        self._arguments = arguments

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:  # noqa: ARG002
        return True

    def create_args_for_root(
        self,
        root_fn: Any,
        is_module: bool,  # noqa: ARG002
        concrete_args: Any = None,  # noqa: ARG002
    ) -> tuple[Callable[..., Any], list[Any]]:
        names = (f"x{number}" for number in itertools.count())

        def proxy(leaf: Any) -> Any:
            return self.create_proxy("placeholder", next(names), (), {}) if leaf == TENSOR else leaf

        args, kwargs = tree_map(proxy, self._arguments)
        return functools.partial(root_fn, **kwargs), [self.root, *args]


class _Surroundings:
    """All that a forward may change besides its outputs, which a graph would not see."""

    def __init__(self, owner: nn.Module) -> None:
        self._owner = owner
        self._attributes = dict(vars(owner))
        self._random = self._draws()
        self._versions = self._writes()

    def check(self) -> None:
        """Raise if anything has changed."""
        changed = [
            name
            for name, value in vars(self._owner).items()
            if name not in self._attributes or self._attributes[name] is not value
        ]
        if changed:
            raise ValueError(f"it sets {', '.join(changed)} on itself while it runs")
        if self._draws() != self._random:
            raise ValueError("it draws random numbers that do not depend on its inputs")
        if self._writes() != self._versions:
            raise ValueError("it writes to its parameters or buffers")

    def _draws(self) -> tuple[Any, ...]:
        return random.getstate(), torch.get_rng_state().tolist()

    def _writes(self) -> list[int]:
        return [tensor._version for tensor in (*self._owner.parameters(), *self._owner.buffers())]


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, rtol=0, atol=0, equal_nan=True)


@contextmanager
def _slow_path() -> Iterator[None]:
    """Keep nn.TransformerEncoderLayer from its fused kernel, which rounds in another way."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
