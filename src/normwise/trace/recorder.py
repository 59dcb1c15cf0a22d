"""Follow the tensors of a forward pass while it runs."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any

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
    LayerModule,
    OtherDropout,
    is_weighted,
)
from normwise.trace.hooking import hooked
from normwise.trace.records import FUNCTION, Activation, Layer, Norm, Trace

_INPUT = -1  # stands in `_Origin.last` for the network's input
_OTHER = -2  # and for weights that are no Linear or convolution


@dataclass(frozen=True)
class _Origin:
    """Where a tensor came from; layers, norms and activations are told apart by call."""

    last: frozenset[int] = frozenset()  # layers since which there was no layer
    fresh: frozenset[int] = frozenset()  # of these, the ones since which there was no activation
    norms: frozenset[int] = frozenset()  # norms since these
    active: frozenset[int] = frozenset()  # activations since which there was no layer

    def __or__(self, other: "_Origin") -> "_Origin":
        return _Origin(
            self.last | other.last,
            self.fresh | other.fresh,
            self.norms | other.norms,
            self.active | other.active,
        )


@dataclass
class _Frame:
    """A module whose forward is running."""

    path: str
    module: nn.Module
    inputs: tuple[Any, ...]
    activations: list[int] = field(default_factory=list)
    noted: bool = False  # as a norm or as dropout


@dataclass
class _SeenLayer:
    layer: Layer
    output: Tensor


@dataclass
class _SeenNorm:
    path: str
    module: nn.Module
    input: Tensor
    layers: frozenset[int]


@dataclass
class _SeenActivation:
    name: str
    layers: frozenset[int]
    norms: frozenset[int]
    owner: str
    position: int
    before: Tensor
    after: Tensor
    values: tuple[Tensor, Tensor] | None
    module: str | None = None
    norm: int | None = None
    dropout: str | None = None
    hidden: bool = False


class Recorder(TorchFunctionMode):
    """Sees every torch function, by its mode, and every module, by its hooks."""

    def __init__(self, network: nn.Module, inputs: Sequence[Tensor], *, keep_values: bool) -> None:
        super().__init__()
        self._network = network
        self._keep_values = keep_values
        self._origins: dict[int, _Origin] = {}
        self._uses: Counter[int] = Counter()
        self._alive: list[Tensor] = []  # a freed tensor's id would be given to another
        self._frames: list[_Frame] = []
        self._calls: Counter[str] = Counter()
        self._layers: list[_SeenLayer] = []
        self._norms: list[_SeenNorm] = []
        self._activations: list[_SeenActivation] = []
        for tensor in inputs:
            self._remember(tensor, _Origin(last=frozenset({_INPUT})))

    # --- what modules tell -------------------------------------------------------------------

    def hooks(self) -> AbstractContextManager[None]:
        """Hook every module, and unhook it again."""
        return hooked(self._network, self._enter, self._leave)

    def _enter(self, path: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def enter(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            self._calls[path] += 1
            self._frames.append(_Frame(path, module, inputs))

        return enter

    def _leave(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        frame = self._frames.pop()
        if self._frames:
            self._adopt(frame, self._frames[-1], output)
        else:
            self._uses.update(id(leaf) for leaf in _tensors(output))
        if isinstance(module, LAYER_TYPES) and isinstance(output, Tensor):
            self._note_layer(frame.path, module, self._origin(inputs), output)
        if isinstance(output, Tensor) and inputs and not frame.noted:  # by a function of torch's
            if isinstance(module, NORM_TYPES):
                self._remember(output, self._note_norm(frame, self._origin(inputs)))
            elif isinstance(module, (*DROPOUT_TYPES, OtherDropout)):
                self._note_dropout(frame, self._origin(inputs))

    def _adopt(self, frame: _Frame, parent: _Frame, output: Any) -> None:
        """Recognise a module that is nothing but an activation: the same tensors go in and out."""
        if len(frame.activations) != 1:
            return
        seen = self._activations[frame.activations[0]]
        took_it = bool(frame.inputs) and frame.inputs[0] is seen.before
        if took_it and output is seen.after and seen.module is None:
            parent.activations += frame.activations
            seen.module = frame.path
            seen.owner = parent.path
            seen.position = len(parent.activations) - 1

    def _note_layer(self, path: str, module: LayerModule, origin: _Origin, output: Tensor) -> None:
        self._reach(origin)
        first = origin.last == {_INPUT}
        layer = Layer(path, module, tuple(output.shape), first=first)
        here = frozenset({len(self._layers)})
        self._layers.append(_SeenLayer(layer, output))
        self._remember(output, _Origin(last=here, fresh=here))

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
        before = next(_tensors((args, kwargs)), None) if name else None
        value = before.clone() if self._keep_values and before is not None else None
        output = func(*args, **kwargs)
        results = list(_tensors(output))
        if results:
            self._uses.update(id(leaf) for leaf in _tensors((args, kwargs)))
        if name and before is not None:
            origin = self._note_activation(name, origin, before, results[0], value)
        elif func in NORM_FUNCTIONS:
            origin = self._note_norm(self._frames[-1], origin)
        elif func in DROPOUT_FUNCTIONS:
            self._note_dropout(self._frames[-1], origin)
        elif is_weighted(func, args):
            self._reach(origin)
            origin = _Origin(last=frozenset({_OTHER}))
        elif func is Tensor.__setitem__:
            results = [args[0]]
        for tensor in results:
            self._remember(tensor, origin)
        return output

    def _note_activation(
        self, name: str, origin: _Origin, before: Tensor, after: Tensor, value: Tensor | None
    ) -> _Origin:
        frame = self._frames[-1]
        frame.activations.append(len(self._activations))
        seen = _SeenActivation(
            "relu6" if isinstance(frame.module, nn.ReLU6) else name,  # it calls hardtanh
            origin.fresh,
            origin.norms,
            frame.path,
            len(frame.activations) - 1,
            before,
            after,
            None if value is None else (value, after.clone()),
        )
        self._activations.append(seen)
        return _Origin(last=origin.last, active=origin.active | {len(self._activations) - 1})

    def _note_norm(self, frame: _Frame, origin: _Origin) -> _Origin:
        frame.noted = True
        # Without its input a module could not be replaced by one that fits.
        known = isinstance(frame.module, NORM_TYPES) and bool(frame.inputs)
        path, taken = (frame.path, frame.inputs[0]) if known else (FUNCTION, Tensor())
        index = len(self._norms)
        self._norms.append(_SeenNorm(path, frame.module, taken, origin.fresh))
        for seen in self._followed(origin):
            seen.norm = index if seen.norm is None else seen.norm
        return replace(origin, norms=origin.norms | {index}) if origin.fresh else origin

    def _note_dropout(self, frame: _Frame, origin: _Origin) -> None:
        frame.noted = True
        known = isinstance(frame.module, (*DROPOUT_TYPES, OtherDropout))
        path = frame.path if known else FUNCTION
        for seen in self._followed(origin):
            seen.dropout = seen.dropout or path

    def _reach(self, origin: _Origin) -> None:
        for index in origin.active:
            self._activations[index].hidden = True

    def _followed(self, origin: _Origin) -> list[_SeenActivation]:
        """Return the activations right behind which a tensor stands, with no layer mixed in."""
        return [] if origin.fresh else [self._activations[index] for index in origin.active]

    # --- what tensors remember ---------------------------------------------------------------

    def _origin(self, values: Any) -> _Origin:
        origin = _Origin()
        for leaf in _tensors(values):
            origin |= self._origins.get(id(leaf), _Origin())
        # A layer's output times its own activation is an activation too: x * sigmoid(x).
        activated = (self._activations[index].layers for index in origin.active)
        return replace(origin, fresh=origin.fresh.difference(*activated))

    def _remember(self, tensor: Tensor, origin: _Origin) -> None:
        if id(tensor) not in self._origins:
            self._alive.append(tensor)
        self._origins[id(tensor)] = origin

    # --- what came out -----------------------------------------------------------------------

    def values(self) -> list[tuple[Activation, Tensor, Tensor]]:
        """Return each hidden activation with its input and output."""
        return [(self._activation(seen), *seen.values) for seen in self._hidden() if seen.values]

    def result(self) -> Trace:
        """Return what the pass has shown."""
        modules = frozenset(seen.module for seen in self._activations if seen.module is not None)
        activations = tuple(map(self._activation, self._hidden()))
        return Trace(self._result_layers(), activations, self._result_norms(), modules)

    def _hidden(self) -> list[_SeenActivation]:
        return [seen for seen in self._activations if seen.hidden and seen.layers]

    def _activation(self, seen: _SeenActivation) -> Activation:
        layers = [self._layers[index].layer for index in sorted(seen.layers)]
        places = [(s.owner, s.position) for s in self._activations]
        place = (seen.owner, seen.position)
        uses = sum(s.module == seen.module for s in self._activations)
        shape = tuple(seen.after.shape)
        return Activation(
            seen.name,
            tuple(dict.fromkeys(layer.path for layer in layers)),
            *place,
            shape,
            layers[0].unit_axis_in(shape),
            module=seen.module,
            shared=seen.module is not None and uses > places.count(place),
            calls=places.count(place),
            norm=None if seen.norm is None else self._norms[seen.norm].path,
            dropout=seen.dropout,
        )

    def _result_layers(self) -> dict[str, Layer]:
        former: dict[str, str] = {}
        for seen in self._hidden():
            for norm in (self._norms[index] for index in sorted(seen.norms)):
                for index in norm.layers & seen.layers:
                    former.setdefault(self._layers[index].layer.path, norm.path)
        layers: dict[str, Layer] = {}
        for layer in (seen.layer for seen in self._layers):
            known = layers.get(layer.path, replace(layer, calls=0))
            layers[layer.path] = replace(
                known,
                calls=known.calls + 1,
                first=known.first or layer.first,
                norm=former.get(layer.path),
            )
        return layers

    def _result_norms(self) -> dict[str, Norm]:
        norms: dict[str, Norm] = {}
        for seen in self._hidden():
            for index in sorted(seen.norms) + ([] if seen.norm is None else [seen.norm]):
                norm = self._norms[index]
                if norm.path != FUNCTION:
                    layer = self._layers[min(norm.layers or seen.layers)].layer
                    norms.setdefault(norm.path, self._norm(norm, layer))
        return norms

    def _norm(self, seen: _SeenNorm, layer: Layer) -> Norm:
        shape = tuple(seen.input.shape)
        same = [s for s in self._norms if s.path == seen.path]
        absorbed = [
            s.layer.path
            for s in self._layers
            if any(s.output is norm.input for norm in same) and self._uses[id(s.output)] == 1
        ]
        calls = Counter(s.layer.path for s in self._layers)
        return Norm(
            seen.path,
            shape,
            _unit_axis(seen.module, shape, layer),
            self._calls[seen.path],
            tuple(path for path in absorbed if calls[path] == 1),
        )


def _tensors(values: Any) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor))


def _unit_axis(norm: nn.Module, shape: tuple[int, ...], layer: Layer) -> int:
    if not isinstance(norm, nn.LayerNorm | nn.RMSNorm):
        return 1
    if type(norm) in (nn.LayerNorm, nn.RMSNorm) and len(norm.normalized_shape) == 1:
        return len(shape) - 1
    return layer.unit_axis_in(shape)  # over several axes, or a subclass that moves its axes
