"""Put norms before or behind the activations that layers feed."""

from collections.abc import Iterable
from typing import Any

from torch import nn

from normwise.edit.hosting import dismiss, guests, host_after
from normwise.edit.making import Maker, Place, short
from normwise.edit.own import Ownership
from normwise.edit.swapping import swap
from normwise.errors import Problems
from normwise.layers import ChannelsLast
from normwise.trace import FUNCTION, Activation, Layer, Norm, Trace
from normwise.trace.functions import NORM_TYPES

Change = tuple[str, str, str]
"""Where, what was done, and a note, as an `Edit` tells it."""


def insert_before(
    network: nn.Module, found: Trace, chosen: list[Layer], make: Maker
) -> list[Change]:
    """Give each layer a norm on its output, or in the place of the norm that follows it.

    Raises:
        UsageError: a place can have no such norm; nothing was changed.
    """
    problems = Problems()
    former = _between(found, chosen, problems)
    bare = [layer for layer in chosen if layer.norm is None]
    places = [_at_layer(layer) for layer in bare]
    norms = make.all(places, problems)
    successors = make.all([_at_norm(network, found, norm) for norm in former], problems)
    problems.raise_if_any()
    changes = []
    for layer, place, norm in zip(bare, places, norms, strict=True):
        for name, guest in guests(layer.module).items():  # behind the head, where no trace looks
            if isinstance(guest, (*NORM_TYPES, ChannelsLast)):
                dismiss(layer.module, name)
        host_after(layer.module, "norm", norm)
        dropped = drop_biases(found, [layer.path] if make.undoes_bias(place) else [])
        changes.append((layer.path, f"{short(norm)} on its output", dropped))
    return changes + _replace(network, found, former, successors, make)


def insert_after(
    network: nn.Module, found: Trace, chosen: list[Layer], make: Maker, example: Any
) -> list[Change]:
    """Put a norm behind each activation that the layers feed; one that stands before it goes.

    Raises:
        UsageError: a place can have no such norm; nothing was changed.
    """
    problems = Problems()
    paths = {layer.path for layer in chosen}
    activations = [a for a in found.places if paths & set(a.layers)]
    idle = paths.difference(*(a.layers for a in activations))
    problems.add(*(_idle(path) for path in sorted(idle)))
    leaving = _between(found, chosen, problems)
    former = _following(found, activations, problems)
    bare = [activation for activation in activations if activation.norm is None]
    norms = make.all([_at_activation(found, a) for a in bare], problems)
    successors = make.all([_at_norm(network, found, norm) for norm in former], problems)
    own = Ownership(network, found, bare, example, problems)
    problems.raise_if_any()
    changes = []
    for activation, host, norm in zip(bare, own.commit(), norms, strict=True):
        host_after(host, "norm", norm)
        changes.append((path_of(network, host), f"{short(norm)} behind {label(activation)}", ""))
    for norm in leaving:
        gone = network.get_submodule(norm.path)
        swap(network, gone, nn.Identity())
        changes.append((norm.path, f"{short(gone)} before the activation removed", ""))
    return changes + _replace(network, found, former, successors, make)


def label(activation: Activation) -> str:
    """Return what errors and records call an activation."""
    return f"the {activation.name} after {', '.join(activation.layers)}"


def path_of(network: nn.Module, module: nn.Module) -> str:
    """Return a module's name in the network."""
    return next(path for path, other in network.named_modules() if other is module)


def drop_biases(found: Trace, paths: Iterable[str]) -> str:
    """Drop the biases of layers whose norm undoes them, and return a note of it."""
    dropped = []
    for path in paths:
        layer = found.layers[path].module
        if layer._parameters.get("bias") is not None:
            layer.register_parameter("bias", None)
            dropped.append(path)
    return f"the bias of {', '.join(dropped)}, which the norm undoes, is dropped" if dropped else ""


def _between(found: Trace, chosen: list[Layer], problems: Problems) -> list[Norm]:
    """Return the norms between layers and activations, and note those that cannot be replaced."""
    problems.add(*(_fixed(layer.path) for layer in chosen if layer.norm == FUNCTION))
    return _norms(found, (layer.norm for layer in chosen))


def _following(found: Trace, activations: list[Activation], problems: Problems) -> list[Norm]:
    """Do the same for the norms that follow activations."""
    problems.add(*(_fixed(label(a)) for a in activations if a.norm == FUNCTION))
    return _norms(found, (activation.norm for activation in activations))


def _norms(found: Trace, paths: Iterable[str | None]) -> list[Norm]:
    return [found.norms[path] for path in dict.fromkeys(paths) if path in found.norms]


def _replace(
    network: nn.Module, found: Trace, former: list[Norm], successors: list[nn.Module], make: Maker
) -> list[Change]:
    changes = []
    for norm, successor in zip(former, successors, strict=True):
        gone = network.get_submodule(norm.path)
        undone = norm.absorbs if make.undoes_bias(_at_norm(network, found, norm)) else ()
        dropped = drop_biases(found, undone)
        swap(network, gone, successor)
        changes.append((norm.path, f"{short(successor)} in the place of {short(gone)}", dropped))
    return changes


def _at_layer(layer: Layer) -> Place:
    return Place(layer.path, layer.shape, layer.unit_axis, layer.calls, layer.module.weight)


def _at_activation(found: Trace, activation: Activation) -> Place:
    like = found.layers[activation.layers[0]].module.weight
    return Place(label(activation), activation.shape, activation.unit_axis, activation.calls, like)


def _at_norm(network: nn.Module, found: Trace, norm: Norm) -> Place:
    weights = [*network.get_submodule(norm.path).parameters(), found.hidden[0].module.weight]
    return Place(norm.path, norm.shape, norm.unit_axis, norm.calls, weights[0])


def _idle(path: str) -> str:
    return (
        f"{path} feeds no activation, so that no norm can stand behind one: placement='before' "
        "puts it on the output of this layer"
    )


def _fixed(place: str) -> str:
    return (
        f"{place} is followed by a norm that is called as a function and cannot be replaced: make "
        "it a module, or pass your changed network as a variant"
    )
