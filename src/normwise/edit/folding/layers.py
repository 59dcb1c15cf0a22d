"""Linear layers and convolutions of a graph: how a scale and a shift go into their weights."""

from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, fx

from normwise.edit.folding.draft import Draft
from normwise.edit.folding.operations import aten, named

LINEAR = frozenset({aten.linear.default})
CONVOLUTIONS = frozenset(
    {
        *(aten.conv1d.default, aten.conv2d.default, aten.conv3d.default),
        *(aten.conv1d.padding, aten.conv2d.padding, aten.conv3d.padding),
    }
)
TRANSPOSED = frozenset(
    {aten.conv_transpose1d.default, aten.conv_transpose2d.input, aten.conv_transpose3d.input}
)
LAYERS = LINEAR | CONVOLUTIONS | TRANSPOSED


@dataclass(frozen=True)
class Layer:
    """A call of a Linear layer or a convolution whose weights are constant.

    Attributes:
        node: the call.
        weight: `(out, in)`, `(out, in / groups, *kernel)` or, of a transposed convolution,
            `(in, out / groups, *kernel)`.
        bias: `(out,)`, or None.
        groups: 1 for a Linear.
        options: the call's arguments by name.
    """

    node: fx.Node
    weight: Tensor
    bias: Tensor | None
    groups: int
    options: dict[str, Any]

    @classmethod
    def of(cls, draft: Draft, node: fx.Node) -> "Layer | str":
        """Read a call, or say why its weights cannot be changed."""
        options = named(node)
        weight = draft.constant(options["weight"])
        bias = draft.constant(options["bias"])
        if weight is None or (bias is None and options["bias"] is not None):
            return "has weights that depend on the input"
        if not draft.exclusive(options["weight"]):
            return "shares its weight with another call"
        return cls(node, weight, bias, options.get("groups", 1), options)

    @property
    def source(self) -> fx.Node:
        """What it is applied to."""
        return self.options["input"]

    @property
    def inputs(self) -> int:
        """How many input units there are."""
        return self.weight.shape[0 if self._transposed else 1] * self._repeats_in

    @property
    def outputs(self) -> int:
        """How many output units there are."""
        return self.weight.shape[1] * self.groups if self._transposed else self.weight.shape[0]

    @property
    def unit_axis(self) -> int:
        """The axis, of inputs and outputs, that counts units; from the end."""
        return -1 if self.node.target in LINEAR else 1 - self.weight.ndim

    @property
    def _transposed(self) -> bool:
        return self.node.target in TRANSPOSED

    @property
    def _repeats_in(self) -> int:
        return 1 if self._transposed else self.groups

    def shifts_exactly(self) -> bool:
        """Whether a constant shift of the inputs shifts the outputs by constants, too.

        Zeros that pad the input would not be shifted; and only a transposed convolution with a
        kernel of one element, without gaps, adds all of its weights to each output.
        """
        if self.node.target in LINEAR:
            return True
        single = prod(self.weight.shape[2:]) == 1
        padding = self.options["padding"]
        if isinstance(padding, str):
            return single or padding == "valid"
        if not self._transposed:
            return not any(padding)
        gaps = any(padding) or any(self.options["output_padding"])
        return single and not gaps and set(self.options["stride"]) == {1}

    def after(self, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
        """Return weight and bias of the layer followed by `scale * y + shift`, per output unit."""
        weight, bias = self.weight.double(), self._bias()
        if self._transposed:
            factor = scale.view(self.groups, 1, -1, *self._ones)
            weight = (self._grouped(weight) * factor).view_as(weight)
        else:
            weight = weight * scale.view(-1, *[1] * (weight.ndim - 1))
        return weight, bias * scale + shift

    def before(self, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
        """Return weight and bias of the layer applied to `scale * x + shift`, per input unit."""
        weight, bias = self.weight.double(), self._bias()
        grouped = self._grouped(weight)  # (groups, in, out, ...) or (groups, out, in, ...)
        per_input = (self.groups, -1, 1) if self._transposed else (self.groups, 1, -1)
        kernel = tuple(range(3, grouped.ndim))
        added = grouped * shift.view(*per_input, *self._ones)
        bias = bias + added.sum((1 if self._transposed else 2, *kernel)).flatten()
        return (grouped * scale.view(*per_input, *self._ones)).view_as(weight), bias

    @property
    def _ones(self) -> list[int]:
        return [1] * (self.weight.ndim - 2)

    def _grouped(self, weight: Tensor) -> Tensor:
        return weight.contiguous().view(self.groups, -1, *weight.shape[1:])

    def _bias(self) -> Tensor:
        if self.bias is not None:
            return self.bias.double()
        return torch.zeros(self.outputs, dtype=torch.float64, device=self.weight.device)

    def set(self, draft: Draft, weight: Tensor, bias: Tensor) -> None:
        """Give the call other weights."""
        draft.set_weight(self.node, "weight", weight, like=self.weight)
        if self.bias is not None or bool(bias.any()):
            like = self.weight.new_empty(self.outputs) if self.bias is None else self.bias
            draft.set_weight(self.node, "bias", bias, like=like)
