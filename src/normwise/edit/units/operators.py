"""What each of torch's operators does to the units along the axes of its inputs.

Operators are those that remain below autograd (aten), so that a layer, its functional form and a
product written by hand all come down to the same few. An operator without a rule fixes the units
that pass through it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from normwise.edit.units.couplings import Axes, Couplings, Nodes, fixed_axes, is_live
from normwise.edit.units.reshaping import reshaped
from normwise.trace.functions import ACTIVATION_NAMES


@dataclass(frozen=True)
class Operand:
    """A tensor that goes into an operator, or comes out of it.

    Attributes:
        axes: the node of each position.
        weight: whether it is a parameter or buffer, or a view of one.
    """

    axes: Axes
    weight: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Its sizes."""
        return tuple(len(nodes) for nodes in self.axes)


@dataclass(frozen=True)
class Operation:
    """One call of an operator (aten).

    Attributes:
        name: of the operator, without overload and without the mark of the in-place form.
        arguments: by name, with an `Operand` in the place of each tensor.
        operands: all of these.
        shapes: of the outputs.
    """

    name: str
    arguments: dict[str, Any]
    operands: tuple[Operand, ...]
    shapes: tuple[tuple[int, ...], ...]

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    @property
    def input(self) -> Operand:
        """The first tensor."""
        return self.operands[0]

    def dims(self, name: str = "dim") -> list[int]:
        """Return an argument that names axes of the input, counted from 0; all where it is None."""
        given, rank = self.arguments.get(name), len(self.input.axes)
        if given is None or given == []:
            return list(range(rank))
        return [dim % rank for dim in (given if isinstance(given, list | tuple) else [given])]


Rule = Callable[[Operation, Couplings], list[Axes]]


def rule_for(name: str, *, pointwise: bool) -> Rule:
    """Return what is known about an operator."""
    if name in RULES:
        return RULES[name]
    if pointwise or name in ACTIVATION_NAMES:  # torch forgets the tag of some
        return elementwise
    if (spatial := _SPATIAL.search(name)) is not None:
        return lambda call, couplings: _trailing(call, couplings, int(spatial[1]))
    return unknown


def unknown(call: Operation, couplings: Couplings) -> list[Axes]:
    """Fix whatever goes in."""
    for operand in call.operands:
        for nodes in operand.axes:
            couplings.fix(nodes, f"passed to {call.name}, which mixes or reorders them")
    return [fixed_axes(shape) for shape in call.shapes]


def elementwise(call: Operation, couplings: Couplings) -> list[Axes]:
    """Join what is combined position by position, and fix what is broadcast."""
    shape = call.shapes[0]
    result: list[Nodes | None] = [None] * len(shape)
    for operand in call.operands:
        offset = len(shape) - len(operand.axes)
        for axis, nodes in enumerate(operand.axes, start=offset):
            if len(nodes) != shape[axis]:
                couplings.fix(nodes, f"a single unit that {call.name} combines with many")
                continue
            known = result[axis]
            if known is not None:
                couplings.join(known, nodes)
            result[axis] = nodes if known is None or not is_live(known) else known
    filled = (n if n is not None else np.zeros(s, np.int64) for n, s in zip(result, shape))  # noqa: B905
    return [tuple(filled)] * len(call.shapes)


def like(call: Operation, couplings: Couplings) -> list[Axes]:  # noqa: ARG001
    """Make another tensor of the input's shape."""
    return [call.input.axes]


def fresh(call: Operation, couplings: Couplings) -> list[Axes]:  # noqa: ARG001
    """Make a tensor of a size that the caller gives."""
    return [fixed_axes(shape) for shape in call.shapes]


def reshape(call: Operation, couplings: Couplings) -> list[Axes]:
    """Merge and split axes."""
    return [reshaped(couplings, call.input.axes, call.shapes[0], call.name)]


def permute(call: Operation, couplings: Couplings) -> list[Axes]:  # noqa: ARG001
    """Reorder the axes."""
    axes, rank = call.input.axes, len(call.input.axes)
    order = list(range(rank))
    if call.name == "permute":
        order = call.dims("dims")
    elif rank > 1:
        one, other = (0, 1) if call.name == "t" else (call["dim0"] % rank, call["dim1"] % rank)
        order[one], order[other] = other, one
    return [tuple(axes[axis] for axis in order)]


def repeat(call: Operation, couplings: Couplings) -> list[Axes]:  # noqa: ARG001
    """Repeat whole axes."""
    new = len(call["repeats"]) - len(call.input.axes)
    axes = (*fixed_axes((1,) * new), *call.input.axes)
    return [tuple(np.tile(a, times) for a, times in zip(axes, call["repeats"], strict=True))]


def concatenate(call: Operation, couplings: Couplings) -> list[Axes]:
    """Put the units of several tensors side by side along one axis, and join the others."""
    parts = [operand for operand in call.operands if operand.shape != (0,)]
    dim = call["dim"] % len(parts[0].axes)
    result = list(parts[0].axes)
    for part in parts[1:]:
        for axis, nodes in enumerate(part.axes):
            if axis != dim:
                couplings.join(result[axis], nodes)
    result[dim] = np.concatenate([part.axes[dim] for part in parts])
    return [tuple(result)]


def stack(call: Operation, couplings: Couplings) -> list[Axes]:
    """Put several tensors side by side along a new axis, and join all others."""
    first, *others = call.operands
    for other in others:
        for ours, theirs in zip(first.axes, other.axes, strict=True):
            couplings.join(ours, theirs)
    dim = call["dim"] % len(call.shapes[0])
    return [(*first.axes[:dim], np.zeros(len(call.operands), np.int64), *first.axes[dim:])]


def along(call: Operation, couplings: Couplings) -> list[Axes]:
    """Mix or cut what lies along one axis, and keep the other axes."""
    axes = call.input.axes
    if call.name == "slice" and call.shapes[0] == call.input.shape:
        return [axes]
    (dim,) = call.dims()
    couplings.fix(axes[dim], f"mixed or cut by {call.name}")
    before, after = axes[:dim], axes[dim + 1 :]
    if call.name in ("select", "unbind"):
        return [before + after] * len(call.shapes)
    return [(*before, np.zeros(shape[dim], np.int64), *after) for shape in call.shapes]


def reduce(call: Operation, couplings: Couplings) -> list[Axes]:
    """Reduce some axes to one value each."""
    dims, axes = call.dims(), list(call.input.axes)
    for dim in dims:
        couplings.fix(axes[dim], f"reduced to one value by {call.name}")
        axes[dim] = np.zeros(1, np.int64)
    kept = tuple(nodes for axis, nodes in enumerate(axes) if axis not in dims)
    return [tuple(axes) if len(shape) == len(axes) else kept for shape in call.shapes]


def pad(call: Operation, couplings: Couplings) -> list[Axes]:
    """Lengthen the last axes by constants."""
    return _trailing(call, couplings, len(call["pad"]) // 2)


def matrix_product(call: Operation, couplings: Couplings) -> list[Axes]:
    """Sum over the last axis of one matrix, or batch of them, and the last but one of another."""
    one, other = call.operands[-2:]
    inner = other.axes[max(0, len(other.axes) - 2)]
    couplings.join(one.axes[-1], inner)
    if one.weight or other.weight:
        couplings.read(inner if other.weight else one.axes[-1])
    else:
        couplings.fix(inner, f"multiplied with each other by {call.name}")
    rows, columns = one.axes[:-1], other.axes[1:][-1:]
    if len(rows) > 1:  # a batch of matrices
        couplings.join(rows[0], other.axes[0])
    result = (*rows, *columns)
    if len(call.operands) > 2:  # a bias
        sum_ = Operation(call.name, {}, (Operand(result), call.operands[0]), call.shapes)
        return elementwise(sum_, couplings)
    return [result]


def convolution(call: Operation, couplings: Couplings) -> list[Axes]:
    """Sum over input channels and positions; each group of a grouped one is a single unit."""
    weight, bias, groups = call["weight"].axes, call["bias"], call["groups"]
    channels = call.input.axes[1]
    inputs, outputs = (weight[0], weight[1]) if call["transposed"] else (weight[1], weight[0])
    if groups == 1:
        couplings.join(channels, inputs)
        couplings.read(inputs)
    else:
        by_group = weight[0].reshape(groups, -1)
        couplings.fix(weight[1], "channels within a group")
        for part in (channels.reshape(groups, -1), by_group):
            couplings.join(part, np.broadcast_to(by_group[:, :1], part.shape))
        outputs = np.repeat(by_group[:, 0], call.shapes[0][1] // groups)
    if bias is not None:
        couplings.join(outputs, bias.axes[0])
    return [(call.input.axes[0], outputs, *fixed_axes(call.shapes[0][2:]))]


def channel_norm(call: Operation, couplings: Couplings) -> list[Axes]:
    """Normalise each channel by itself."""
    axes = call.input.axes
    _join_vectors(call, couplings, axes[1])
    return [axes, *map(fixed_axes, call.shapes[1:])]


def group_norm(call: Operation, couplings: Couplings) -> list[Axes]:
    """Normalise groups of channels; each group is a single unit."""
    axes, groups = call.input.axes, call["group"]
    by_group = axes[1].reshape(groups, -1)
    if groups == 1:
        couplings.fix(axes[1], "normalised together by group_norm")
    couplings.join(by_group, np.broadcast_to(by_group[:, :1], by_group.shape))
    _join_vectors(call, couplings, axes[1])
    return [axes, *map(fixed_axes, call.shapes[1:])]


def layer_norm(call: Operation, couplings: Couplings) -> list[Axes]:
    """Normalise over the last axes together."""
    axes = call.input.axes
    for nodes in axes[len(axes) - len(call["normalized_shape"]) :]:
        couplings.fix(nodes, "normalised together by layer_norm")
    return [axes, *map(fixed_axes, call.shapes[1:])]


def embedding(call: Operation, couplings: Couplings) -> list[Axes]:
    """Look rows up; what an embedding is made of stays as it is."""
    rows, features = call["weight"].axes
    for nodes in (rows, features):
        couplings.fix(
            nodes, "tied to the features of an embedding, by a sum or a shared weight; they stay"
        )
    return [(*call["indices"].axes, features)]


def _join_vectors(call: Operation, couplings: Couplings, channels: Nodes) -> None:
    for operand in call.operands[1:]:
        couplings.join(channels, operand.axes[0])


def _trailing(call: Operation, couplings: Couplings, count: int) -> list[Axes]:
    """Change the sizes of the last axes, and keep the others."""
    kept = call.input.axes[: len(call.input.axes) - count]
    for nodes in call.input.axes[len(kept) :]:
        couplings.fix(nodes, f"positions that {call.name} combines")
    return [(*kept, *fixed_axes(shape[len(kept) :])) for shape in call.shapes]


_SPATIAL = re.compile(r"(?:pool|upsample|reflection_pad|replication_pad).*?([123])d")


def _named(names: str, rule: Rule) -> dict[str, Rule]:
    return dict.fromkeys(names.split(), rule)


RULES: dict[str, Rule] = {
    **_named("view _unsafe_view reshape unsqueeze squeeze", reshape),
    **_named("permute transpose t", permute),
    **_named("detach alias _to_copy contiguous lift_fresh empty_like zeros_like ones_like", like),
    **_named("full_like rand_like randn_like bernoulli normal uniform random fill zero", like),
    **_named("new_empty new_zeros new_ones new_full new_empty_strided", fresh),
    **_named("expand clone copy native_dropout", elementwise),
    **_named("_prelu_kernel rrelu_with_noise log_sigmoid_forward", elementwise),
    **_named("repeat", repeat),
    **_named("cat", concatenate),
    **_named("stack", stack),
    **_named("slice select split split_with_sizes unbind index_select", along),
    **_named("_softmax _log_softmax cumsum sort topk", along),
    **_named("mean sum amax amin max min prod var std var_mean std_mean logsumexp", reduce),
    **_named("linalg_vector_norm norm any all argmax argmin", reduce),
    **_named("constant_pad_nd", pad),
    **_named("mm addmm bmm baddbmm mv addmv", matrix_product),
    **_named("convolution", convolution),
    **_named("native_batch_norm _native_batch_norm_legit", channel_norm),
    **_named("_native_batch_norm_legit_no_training cudnn_batch_norm", channel_norm),
    **_named("_batch_norm_with_update _batch_norm_no_update", channel_norm),
    **_named("native_group_norm", group_norm),
    **_named("native_layer_norm", layer_norm),
    **_named("embedding", embedding),
}
