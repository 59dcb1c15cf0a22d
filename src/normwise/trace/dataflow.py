"""Which layer feeds which activation, found by following the tensors of one real forward pass.

Nothing is guessed from the order of the modules: a function mode sees every torch function that the
network calls, a hook on every module tells which layer and which norm is at work, and each tensor
remembers where it came from. So any network that runs can be traced, whatever its control flow,
and activations called as functions count like those that are modules.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from normwise.trace.functions import (
    ACTIVATIONS,
    DROPOUT_FUNCTIONS,
    DROPOUT_TYPES,
    LAYER_TYPES,
    NORM_FUNCTIONS,
    NORM_TYPES,
)
from normwise.trace.undisturbed import undisturbed

FUNCTION = "(a function)"
"""Stands where a module's path would, for a norm or dropout that is called as a function."""


@dataclass(frozen=True)
class Layer:
    """A Linear or convolution as the forward pass met it.

    Attributes:
        path: its name in `network.named_modules()`.
        module: the layer itself.
        shape: of its output, batch first.
        calls: how often one forward pass uses it.
        first: it sees the network's input, with no other layer before it.
        norm: path of the norm between it and the activation, `FUNCTION`, or None.
    """

    path: str
    module: nn.Module
    shape: tuple[int, ...]
    calls: int = 1
    first: bool = False
    norm: str | None = None

    @property
    def unit_axis(self) -> int:
        """The output axis that counts units or channels."""
        return len(self.shape) - 1 if isinstance(self.module, nn.Linear) else 1


@dataclass(frozen=True)
class Activation:
    """An activation of a hidden layer: it is fed by layers, and feeds another.

    Attributes:
        name: torch's name of the function, such as `relu`.
        layers: paths of the layers whose outputs reach it with no other activation between.
        owner: path of the module whose `forward` calls it.
        position: it is the owner's `position`-th activation, counted from 0.
        shape: of its output, batch first.
        module: path of the activation where it is a module of its own, else None.
        calls: how often one forward pass uses that module, or calls the owner.
        dropout: path of the dropout that follows it, `FUNCTION`, or None.
    """

    name: str
    layers: tuple[str, ...]
    owner: str
    position: int
    shape: tuple[int, ...]
    module: str | None = None
    calls: int = 1
    dropout: str | None = None


@dataclass(frozen=True)
class Trace:
    """What one forward pass showed.

    Attributes:
        layers: every Linear and convolution that was used, by path, in order of first use.
        activations: those of hidden layers, in order of use. The head is the part of the network
            behind its last layers, and an activation there is left out.
        activation_modules: paths of all modules that are nothing but an activation.
    """

    layers: dict[str, Layer]
    activations: tuple[Activation, ...]
    activation_modules: frozenset[str] = frozenset()

    @property
    def hidden(self) -> tuple[Layer, ...]:
        """The layers that feed an activation and are not the head, in order of first use."""
        fed = {path for activation in self.activations for path in activation.layers}
        return tuple(layer for path, layer in self.layers.items() if path in fed)


Observer = Callable[[Activation, Tensor, Tensor], None]


def trace(network: nn.Module, example: Tensor, observe: Observer | None = None) -> Trace:
    """Run a network once in training mode and tell which layer feeds which activation.

    Pooling, reshaping, norms, dropout and sums between a layer and its activation are seen
    through. The network is left as it was: parameters, buffers, modes, hooks and random state.

    Args:
        network: any module that runs on `example`.
        example: one batch of inputs; norms over the batch need at least two samples.
        observe: called with each hidden activation, its input and its output, in order of use and
            once the pass has ended. The tensors are the pass's own: in-place activations cannot
            have overwritten them.

    Returns:
        The layers and the activations of hidden layers.

    Raises:
        Exception: whatever the network raises on `example`.

    Example:
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        >>> found = trace(net, torch.randn(2, 4))
        >>> [layer.path for layer in found.hidden], found.activations[0].name
        (['0'], 'relu')
    """
    recorder = _Recorder(network, keep_values=observe is not None)
    with undisturbed(network), torch.no_grad(), recorder.hooks():
        network.train()
        with recorder:
            network(example)
    found, values = recorder.result()
    if observe is not None:
        for activation, (before, after) in zip(found.activations, values, strict=True):
            observe(activation, before, after)
    return found


@dataclass(frozen=True)
class _Origin:
    """Where a tensor came from."""

    fresh: frozenset[str] = frozenset()  # layers since which there was no activation
    last: frozenset[str] = frozenset()  # layers since which there was no layer
    active: frozenset[int] = frozenset()  # activations since which there was no layer

    def __or__(self, other: "_Origin") -> "_Origin":
        return _Origin(self.fresh | other.fresh, self.last | other.last, self.active | other.active)


@dataclass
class _Frame:
    """A module whose forward is running."""

    path: str
    inputs: tuple[Any, ...]
    module: nn.Module
    activations: list[int] = field(default_factory=list)


@dataclass
class _Seen:
    """An activation while the pass still runs."""

    activation: Activation
    before: Tensor
    after: Tensor
    values: tuple[Tensor, Tensor] | None
    hidden: bool = False


class _Recorder(TorchFunctionMode):
    def __init__(self, network: nn.Module, keep_values: bool) -> None:
        super().__init__()
        self._network = network
        self._keep_values = keep_values
        self._origins: dict[int, _Origin] = {}
        self._alive: list[Tensor] = []  # a freed tensor's id would be given to another
        self._frames: list[_Frame] = []
        self._layers: dict[str, Layer] = {}
        self._seen: list[_Seen] = []
        self._calls: dict[str, int] = {}

    # --- what modules tell -------------------------------------------------------------------

    @contextmanager
    def hooks(self) -> Iterator[None]:
        handles = []
        try:
            for path, module in self._network.named_modules():
                # First in, first out: what other hooks add to a module's output, such as a norm
                # that it hosts, counts as coming after the module.
                handles.append(module.register_forward_pre_hook(self._enter(path), prepend=True))
                handles.append(module.register_forward_hook(self._leave(path), prepend=True))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, path: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def enter(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            self._calls[path] = self._calls.get(path, 0) + 1
            self._frames.append(_Frame(path, inputs, module))
            if isinstance(module, LAYER_TYPES):
                for index in self._origin(inputs).active:
                    self._seen[index].hidden = True

        return enter

    def _leave(self, path: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        def leave(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            frame = self._frames.pop()
            self._adopt(frame, output)
            if isinstance(module, LAYER_TYPES) and isinstance(output, Tensor):
                self._note_layer(path, module, output, first=not self._origin(inputs).last)

        return leave

    def _adopt(self, frame: _Frame, output: Any) -> None:
        """Recognise a module that is nothing but an activation: the same tensors go in and out."""
        parent = self._frames[-1] if self._frames else None
        if parent is None or len(frame.activations) != 1:
            return
        seen = self._seen[frame.activations[0]]
        took_it = bool(frame.inputs) and frame.inputs[0] is seen.before
        if took_it and output is seen.after and seen.activation.module is None:
            parent.activations.append(frame.activations[0])
            seen.activation = replace(
                seen.activation,
                module=frame.path,
                owner=parent.path,
                position=len(parent.activations) - 1,
            )

    def _note_layer(self, path: str, module: nn.Module, output: Tensor, first: bool) -> None:
        known = self._layers.get(path)
        self._layers[path] = (
            replace(known, calls=known.calls + 1, first=known.first or first)
            if known
            else Layer(path, module, tuple(output.shape), first=first)
        )
        here = frozenset({path})
        self._remember(output, _Origin(fresh=here, last=here))

    # --- what functions tell -----------------------------------------------------------------

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        origin = self._origin((args, kwargs))
        name = ACTIVATIONS.get(func)
        before = args[0].clone() if name and self._keep_values and args else None
        output = func(*args, **kwargs)
        if name and isinstance(output, Tensor):
            origin = self._note_activation(name, origin, args[0], output, before)
        elif func in NORM_FUNCTIONS:
            self._note_norm(origin)
        elif func in DROPOUT_FUNCTIONS:
            self._note_dropout(origin)
        for tensor in tree_leaves(output):
            if isinstance(tensor, Tensor):
                self._remember(tensor, origin)
        return output

    def _note_activation(
        self, name: str, origin: _Origin, before: Tensor, after: Tensor, value: Tensor | None
    ) -> _Origin:
        frame = self._frames[-1]
        index = len(self._seen)
        frame.activations.append(index)
        layers = tuple(path for path in self._layers if path in origin.fresh)
        position = len(frame.activations) - 1
        activation = Activation(name, layers, frame.path, position, tuple(after.shape))
        values = None if value is None else (value, after.clone())
        self._seen.append(_Seen(activation, before, after, values))
        return _Origin(last=origin.last, active=origin.active | {index})

    def _note_norm(self, origin: _Origin) -> None:
        path = self._path_of(NORM_TYPES)
        for layer in origin.fresh:
            if self._layers[layer].norm is None:
                self._layers[layer] = replace(self._layers[layer], norm=path)

    def _note_dropout(self, origin: _Origin) -> None:
        path = self._path_of(DROPOUT_TYPES)
        for index in origin.active:
            seen = self._seen[index]
            if seen.activation.dropout is None:
                seen.activation = replace(seen.activation, dropout=path)

    def _path_of(self, kinds: tuple[type, ...]) -> str:
        frame = self._frames[-1]
        return frame.path if isinstance(frame.module, kinds) else FUNCTION

    # --- what tensors remember ---------------------------------------------------------------

    def _origin(self, values: Any) -> _Origin:
        origin = _Origin()
        for leaf in tree_leaves(values):
            if isinstance(leaf, Tensor):
                origin |= self._origins.get(id(leaf), _Origin())
        return origin

    def _remember(self, tensor: Tensor, origin: _Origin) -> None:
        if id(tensor) not in self._origins:
            self._alive.append(tensor)
        self._origins[id(tensor)] = origin

    def result(self) -> tuple[Trace, list[tuple[Tensor, Tensor]]]:
        hidden = [seen for seen in self._seen if seen.hidden and seen.activation.layers]
        found = [seen.activation for seen in hidden]
        activations = tuple(
            replace(activation, calls=self._calls[activation.module or activation.owner])
            for activation in found
        )
        modules = (seen.activation.module for seen in self._seen)
        traced = Trace(self._layers, activations, frozenset(path for path in modules if path))
        return traced, [seen.values for seen in hidden if seen.values]
