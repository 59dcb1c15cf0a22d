"""Norms of a graph: which part of them is a fixed scale and shift per channel."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from normwise.edit.folding.draft import Draft
from normwise.edit.folding.operations import aten, named, set_argument
from normwise.edit.folding.units import Labels

BATCH: Any = aten.batch_norm.default
INSTANCE: Any = aten.instance_norm.default
NORMS = frozenset(
    {BATCH, INSTANCE, aten.layer_norm.default, aten.group_norm.default, aten.rms_norm.default}
)
DIVISION = aten.div.Tensor
SCALINGS = frozenset({aten.mul.Tensor, aten.add.Tensor, aten.sub.Tensor, DIVISION})
"""By constants they do what a frozen norm does that was written by hand."""


@dataclass(frozen=True)
class Norm:
    """A call that computes `scale * core(x) + shift`, with a scale and a shift per channel.

    Attributes:
        node: the call.
        source: what it is applied to.
        whole: the core is the identity: a norm with fixed statistics, or a mere scaling.
        scale: one number per channel.
        shift: one number per channel.
        index: the channel of every element; broadcasts to the output's shape.
    """

    node: fx.Node
    source: fx.Node
    whole: bool
    scale: Tensor
    shift: Tensor
    index: Tensor

    @classmethod
    def of(cls, draft: Draft, node: fx.Node) -> "Norm | str | None":
        """Read a call; or say why nothing of it is fixed, if it is a norm's."""
        if node.target in NORMS:
            return _norm(draft, node)
        return _scaling(draft, node) if node.target in SCALINGS else None

    def labels(self, names: Labels) -> Tensor:
        """Return the label of the channel at every position of its output."""
        return names.of(self.index.expand(self.node.meta["shape"]))

    def remove(self, draft: Draft) -> None:
        """Take scale and shift away, which a layer has taken over."""
        if self.whole:
            draft.replace(self.node, self.source)
            return
        for name in ("weight", "bias"):
            if named(self.node).get(name) is not None:
                set_argument(self.node, name, None)


def _norm(draft: Draft, node: fx.Node) -> Norm | str:
    options = named(node)
    tensors = {
        name: draft.constant(options.get(name))
        for name in ("weight", "bias", "running_mean", "running_var")
    }
    if any(value is None and options.get(name) is not None for name, value in tensors.items()):
        return "its parameters depend on the input"
    moving = {BATCH: "training", INSTANCE: "use_input_stats"}.get(node.target)
    whole = moving is not None and not options[moving]
    like = next((value for value in tensors.values() if value is not None), None)
    if like is None:
        return "it uses the statistics of its input and has no scale or shift"
    scale, shift = _affine(tensors, like, options["eps"] if whole else None)
    shape = options.get("normalized_shape", [-1, *[1] * (len(node.meta["shape"]) - 2)])
    index = torch.arange(like.numel()).view(shape)
    return Norm(node, options["input"], whole, scale, shift, index)


def _affine(
    tensors: dict[str, Tensor | None], like: Tensor, eps: float | None
) -> tuple[Tensor, Tensor]:
    one = torch.ones(like.numel(), dtype=torch.float64, device=like.device)
    defaults = {"weight": one, "bias": 0 * one, "running_mean": 0 * one, "running_var": one}
    weight, bias, mean, variance = (
        default if (value := tensors[name]) is None else value.double().flatten()
        for name, default in defaults.items()
    )
    if eps is None:
        return weight, bias
    scale = weight / (variance + eps).sqrt()
    return scale, bias - mean * scale


def _scaling(draft: Draft, node: fx.Node) -> Norm | None:
    """Read a product or a sum of one value that depends on the input and one that does not."""
    first, second = node.args
    swapped = not isinstance(first, fx.Node) or draft.constant(first) is not None
    source, other = (second, first) if swapped else (first, second)
    if not isinstance(source, fx.Node) or not node.meta["dtype"].is_floating_point:
        return None
    if any(source.meta.get(key) != node.meta[key] for key in ("shape", "dtype")):
        return None
    constant = draft.constant(other) if isinstance(other, fx.Node) else torch.as_tensor(other)
    if constant is None or node.kwargs or (swapped and node.target is DIVISION):
        return None
    values: Tensor = constant.double().flatten()
    one = torch.ones_like(values)
    maps: dict[Any, tuple[Tensor, Tensor]] = {
        aten.mul.Tensor: (values, 0 * one),
        aten.add.Tensor: (one, values),
        aten.sub.Tensor: (-one, values) if swapped else (one, -values),
        DIVISION: (1 / values, 0 * one),
    }
    scale, shift = maps[node.target]
    index = torch.arange(len(values)).view(constant.shape)
    return Norm(node, source, True, scale, shift, index)
