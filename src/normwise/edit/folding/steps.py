"""The steps of folding: each looks at one call of a graph, and does what it can prove there."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import fx
from torch._ops import HigherOrderOperator

from normwise.edit.folding.draft import Draft
from normwise.edit.folding.layers import LAYERS, LINEAR, Layer
from normwise.edit.folding.norms import Norm
from normwise.edit.folding.operations import (
    COPIES,
    DROPOUTS,
    MOVES,
    RESHAPES,
    aten,
    is_random,
    named,
    readers,
    source_of,
    told,
    transparent,
    where,
    written,
)
from normwise.edit.folding.units import Labels, along, carried, partners


@dataclass(frozen=True)
class Step:
    """A change that keeps what the graph computes.

    Attributes:
        what: what it is called in a report.
        node: the name of the call that it begins with, the same in every copy of a graph.
        place: where in the network.
        into: the layers that take over, if any do.
        apply: carries it out.
    """

    what: str
    node: str
    place: str
    into: str
    apply: Callable[[], None]


Finder = Callable[[Draft, fx.Node], "Step | str | None"]
"""Returns a step, why there is none, or None where a call is of no concern."""


def remove_dropout(draft: Draft, node: fx.Node) -> Step | str | None:
    """In evaluation mode dropout returns its input."""
    if node.target not in DROPOUTS:
        return None
    if is_random(node):
        return "it is called with training=True and drops values in evaluation mode, too"
    return _removal(draft, node, "dropout removed")


def remove_no_op(draft: Draft, node: fx.Node) -> Step | None:
    """A detach, a conversion to the dtype at hand, views that undo each other."""
    if node.target in (aten.detach.default, aten.alias.default):
        return _removal(draft, node, "no-op removed")
    if node.target in (aten.to.dtype, aten.to.dtype_layout):
        source = node.all_input_nodes[0]
        options = named(node)
        same = all(source.meta[key] == node.meta[key] for key in ("dtype", "device"))
        return _removal(draft, node, "no-op removed") if same and not options["copy"] else None
    if node.target in RESHAPES | MOVES:
        return _cancelling(draft, node)
    return None


def fold_into_preceding(draft: Draft, node: fx.Node) -> Step | str | None:
    """A norm with fixed statistics scales and shifts the outputs of the layer before it."""
    norm = Norm.of(draft, node)
    if not isinstance(norm, Norm):
        return norm
    if not norm.whole:
        return "it uses the statistics of its input"
    path, source = [], norm.source
    while transparent(source) and len(readers(source)) == 1:
        path.append(source)
        source = source_of(source)
    if len(readers(source)) > 1:
        return f"the output of {told(source)} is used {len(readers(source))} times"
    if source.target not in LAYERS:
        return f"{told(source)} comes before it"
    layer = Layer.of(draft, source)
    if isinstance(layer, str):
        return f"{where(source)} {layer}"
    partner = _partners_behind(layer, path[::-1], norm)
    if partner is None:
        return f"its channels are not the units of {where(source)}"

    def apply() -> None:
        layer.set(draft, *layer.after(norm.scale[partner], norm.shift[partner]))
        norm.remove(draft)

    return Step("norm folded back", node.name, where(node), where(source), apply)


def fold_into_following(draft: Draft, node: fx.Node) -> Step | str | None:
    """A norm's fixed scale and shift go into the layers behind it, if they are all it feeds."""
    norm = Norm.of(draft, node)
    if not isinstance(norm, Norm):
        return norm
    takers = _takers(draft, norm)
    if isinstance(takers, str):
        return takers
    if norm.whole and written(norm.source):
        return "its input is changed in place later"

    def apply() -> None:
        for layer, partner in takers:
            layer.set(draft, *layer.before(norm.scale[partner], norm.shift[partner]))
        norm.remove(draft)

    into = ", ".join(where(layer.node) for layer, _ in takers)
    what = "norm folded forward" if norm.whole else "scale and shift folded forward"
    return Step(what, node.name, where(node), into, apply)


def merge_linear(draft: Draft, node: fx.Node) -> Step | str | None:
    """Two Linear layers in a row are one, which is less work unless the middle is narrow."""
    if node.target not in LINEAR or named(node)["input"].target not in LINEAR:
        return None
    source = named(node)["input"]
    if len(readers(source)) > 1:
        return f"the output of {told(source)} is used {len(readers(source))} times"
    first, second = Layer.of(draft, source), Layer.of(draft, node)
    if isinstance(first, str) or isinstance(second, str):
        return None
    if first.inputs * second.outputs > first.weight.numel() + second.weight.numel():
        return f"merged with {where(source)} it would be more work"

    def apply() -> None:
        weight = second.weight.double() @ first.weight.double()
        zero = torch.zeros_like(weight[:, 0])
        bias = zero if first.bias is None else second.weight.double() @ first.bias.double()
        bias = bias if second.bias is None else bias + second.bias
        second.set(draft, weight, bias)
        draft.replace(source, first.source)

    return Step("layers merged", node.name, where(source), where(node), apply)


def leave_block(draft: Draft, node: fx.Node) -> str | None:  # noqa: ARG001
    """A block with a mode of its own, such as autocast, would compute in another way outside."""
    if not isinstance(node.target, HigherOrderOperator):
        return None
    return "its operations run in a mode of their own, and are left as they are"


STEPS: tuple[Finder, ...] = (
    remove_dropout,
    remove_no_op,
    fold_into_preceding,
    fold_into_following,
    merge_linear,
    leave_block,
)


def _removal(draft: Draft, node: fx.Node, what: str) -> Step:
    def apply() -> None:
        draft.replace(node, source_of(node))

    return Step(what, node.name, where(node), "", apply)


def _cancelling(draft: Draft, node: fx.Node) -> Step | None:
    """Find the value that the views up to this one have made again."""
    path, source = [node], source_of(node)
    while not _same(source, node, path[::-1]):
        if source.target not in RESHAPES | MOVES | COPIES:
            return None
        path.append(source)
        source = source_of(source)
    if written(source) or written(node):
        return None
    found = source

    def apply() -> None:
        draft.replace(node, found)

    return Step("no-op removed", node.name, where(node), "", apply)


def _same(start: fx.Node, end: fx.Node, path: list[fx.Node]) -> bool:
    """Whether calls, one after the other, give back what they began with, strides included."""
    if any(start.meta[key] != end.meta[key] for key in ("size", "stride")):
        return False
    elements = torch.arange(torch.Size(start.meta["shape"]).numel()).view(start.meta["shape"])
    arrived = carried(elements, path)
    return arrived is not None and torch.equal(arrived, elements)


def _partners_behind(layer: Layer, path: list[fx.Node], norm: Norm) -> torch.Tensor | None:
    units = Labels(layer.outputs)
    arriving = carried(units.of(along(layer.unit_axis, layer.node.meta["shape"])), path)
    here = None if arriving is None else units.read(arriving)
    return None if here is None else partners(here, norm.index, layer.outputs)


def _takers(draft: Draft, norm: Norm) -> list[tuple[Layer, torch.Tensor]] | str:
    """Return the layers that a norm feeds and each input unit's channel, or why it cannot be."""
    channels = Labels(len(norm.scale))
    takers = []
    for path, user in _ends([], norm.node):
        if user.target not in LAYERS or source_of(user) is not (path[-1] if path else norm.node):
            return f"{told(user)} comes after it"
        layer = Layer.of(draft, user)
        if isinstance(layer, str):
            return f"{where(user)} {layer}"
        if bool(norm.shift.any()) and not layer.shifts_exactly():
            return f"{where(user)} pads or overlaps, and the shift would differ at its borders"
        arriving = carried(norm.labels(channels), path)
        there = None if arriving is None else channels.read(arriving)
        here = along(layer.unit_axis, layer.source.meta["shape"])
        partner = None if there is None else partners(here, there, layer.inputs)
        if partner is None:
            return f"its channels are not the units of {where(user)}"
        takers.append((layer, partner))
    return takers or "nothing uses its output"


def _ends(path: list[fx.Node], node: fx.Node) -> list[tuple[list[fx.Node], fx.Node]]:
    """Follow a value through views to the calls that use it."""
    found = []
    for user in readers(node):
        if transparent(user) and user.args[0] is node:
            found += _ends([*path, user], user)
        else:
            found.append((path, user))
    return found
