"""The operations of a captured graph, as far as folding needs to tell them apart."""

import operator
from typing import Any

import torch
from torch import fx
from torch._ops import OpOverload

aten = torch.ops.aten

DROPOUTS = frozenset(
    {
        aten.dropout.default,
        aten.feature_dropout.default,
        aten.alpha_dropout.default,
        aten.feature_alpha_dropout.default,
    }
)

RESHAPES = frozenset(
    {
        *(aten.reshape.default, aten.view_as.default, aten.reshape_as.default),
        *(aten.flatten.using_ints, aten.unflatten.int, aten.unsqueeze.default),
        *(aten.squeeze.default, aten.squeeze.dim, aten.squeeze.dims),
    }
)
"""They keep all elements in their order, so that the shape says all."""

MOVES = frozenset(
    {
        *(aten.transpose.int, aten.permute.default, aten.t.default, aten.mT.default),
        *(aten.movedim.int, aten.movedim.intlist, aten.swapaxes.default, aten.swapdims.default),
    }
)
"""They reorder all elements in a fixed way."""

COPIES = frozenset(
    {
        *(aten.contiguous.default, aten.clone.default, aten.alias.default, aten.detach.default),
        *(aten.channel_shuffle.default, aten.pixel_shuffle.default, aten.pixel_unshuffle.default),
    }
)

AVERAGES = frozenset(
    {
        *(aten.avg_pool1d.default, aten.avg_pool2d.default, aten.avg_pool3d.default),
        *(aten.adaptive_avg_pool1d.default, aten.adaptive_avg_pool2d.default),
        *(aten.adaptive_avg_pool3d.default, aten.mean.dim, aten.pad.default),
    }
)
"""They replace elements by weighted means; where all are of one unit, an affine map passes."""

GUARDS = "_guards"
"""Name of the submodule that checks a graph's inputs."""

_SIZES = frozenset({aten.sym_size.int, aten._assert_tensor_metadata.default, GUARDS})

_TRANSPARENT = RESHAPES | MOVES | COPIES | AVERAGES | DROPOUTS


def transparent(node: fx.Node) -> bool:
    """Whether a call hands on its first argument, rearranged or averaged but otherwise as it is."""
    return node.target in _TRANSPARENT and not is_random(node)


def readers(node: fx.Node) -> list[fx.Node]:
    """Return the calls that read a value, and not only its size."""
    sizes_only = (aten.view_as.default, aten.expand_as.default, aten.reshape_as.default)
    return [
        user
        for user in node.users
        if user.target not in _SIZES and (user.target not in sizes_only or user.args[0] is node)
    ]


def source_of(node: fx.Node) -> fx.Node:
    """Return the first argument of a call."""
    source = node.args[0]
    assert isinstance(source, fx.Node)
    return source


def named(node: fx.Node) -> dict[str, Any]:
    """Return the arguments of a call by the names of its schema, defaults included."""
    assert isinstance(node.target, OpOverload)
    schema = node.target._schema.arguments
    values = {a.name: a.default_value for a in schema if a.has_default_value()}
    names = (argument.name for argument in schema)
    return values | dict(zip(names, node.args, strict=False)) | node.kwargs


def set_argument(node: fx.Node, name: str, value: Any) -> None:
    """Set one argument of a call."""
    values = named(node)
    assert isinstance(node.target, OpOverload)
    names = [argument.name for argument in node.target._schema.arguments]
    position = names.index(name)
    before = (values[earlier] for earlier in names[:position])
    node.args = (*before, value, *node.args[position + 1 :])
    node.kwargs = {
        key: kept for key, kept in node.kwargs.items() if key not in names[: position + 1]
    }


def writes(node: fx.Node) -> bool:
    """Whether a call may change one of its arguments; of what is not torch's, nobody knows."""
    if node.op in ("placeholder", "get_attr", "output") or node.target == GUARDS:
        return False
    return not isinstance(node.target, OpOverload) or node.target._schema.is_mutable


def aliases(node: fx.Node) -> bool:
    """Whether the result of a call may share its memory with an argument."""
    if node.target is operator.getitem or node.target in DROPOUTS:
        return True
    return isinstance(node.target, OpOverload) and any(
        result.alias_info is not None for result in node.target._schema.returns
    )


def written(node: fx.Node) -> bool:
    """Whether a call may change a value in place, through a view of it perhaps."""
    return any(writes(user) or (aliases(user) and written(user)) for user in node.users)


def is_random(node: fx.Node) -> bool:
    """Whether a call draws random numbers."""
    if node.target in DROPOUTS:
        return bool(named(node)["train"])
    return isinstance(node.target, OpOverload) and (
        torch.Tag.nondeterministic_seeded in node.target.tags
    )


def where(node: fx.Node) -> str:
    """Return the path of the module that makes a call, and the call where that is not all of it."""
    path, kind = node.meta.get("place", ("", ""))
    if not path:
        return _function(node)
    return path if kind.startswith("torch.nn.modules.") else f"{path}: {_function(node)}"


def told(node: fx.Node) -> str:
    """Return what a node does, and where, as a reason names it."""
    if node.op == "placeholder":
        return "the network's input"
    if node.op == "output":
        return "the network's output"
    path, _ = node.meta.get("place", ("", ""))
    return f"{_function(node)} ({path})" if path else _function(node)


def _function(node: fx.Node) -> str:
    if isinstance(node.target, OpOverload):
        return node.target._schema.name.removeprefix("aten::")
    return getattr(node.target, "__name__", str(node.target))
