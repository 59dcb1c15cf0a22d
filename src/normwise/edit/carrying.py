"""Carry what a norm has learnt over to the one that takes its place."""

import torch
from torch import Tensor, nn

from normwise.layers import ChannelsLast

_BATCH = nn.modules.batchnorm._BatchNorm
_INSTANCE = nn.modules.instancenorm._InstanceNorm


def carry(former: nn.Module, successor: nn.Module) -> tuple[nn.Module, str]:
    """Give a norm the scale, shift and eps of another, as far as they have a meaning there.

    A scale or shift of the same shape is handed over as the parameter that it is, so that ties and
    the optimizer's state stay; one per channel is spread over the positions where the successor has
    one per element.

    Returns:
        The successor, and a note of what could not be carried over.
    """
    notes = _notes(former, successor)
    inner = successor.norm if isinstance(successor, ChannelsLast) else successor
    assert isinstance(inner, nn.Module)
    weight = former._parameters.get("weight")
    if isinstance(inner, _INSTANCE) and weight is not None:
        inner = successor = type(inner)(inner.num_features, affine=True).to(weight)
    for name, neutral in (("weight", 1.0), ("bias", 0.0)):
        theirs, ours = former._parameters.get(name), inner._parameters.get(name)
        if theirs is None:
            continue
        fitting = None if ours is None else _fit(theirs, ours)
        if fitting is not None:
            inner.register_parameter(name, fitting)
        elif not torch.all(theirs == neutral):
            notes.append(_lost(name, theirs, ours))
    if getattr(former, "eps", None) is not None:
        vars(inner)["eps"] = vars(former)["eps"]
    return successor, "; ".join(notes)


def _fit(theirs: nn.Parameter, ours: nn.Parameter) -> nn.Parameter | None:
    if theirs.shape == ours.shape:
        return theirs
    if theirs.ndim == 1 and ours.ndim > 1 and len(theirs) == len(ours):
        spread = theirs.detach().view(-1, *[1] * (ours.ndim - 1)).expand(ours.shape).clone()
        return nn.Parameter(spread, requires_grad=theirs.requires_grad)
    return None


def _lost(name: str, theirs: Tensor, ours: Tensor | None) -> str:
    what = {"weight": "scale", "bias": "shift"}[name]
    if ours is None:
        return f"its {what} is lost, since the new norm has none"
    return f"its {what} of shape {tuple(theirs.shape)} is lost: here it has {tuple(ours.shape)}"


def _notes(former: nn.Module, successor: nn.Module) -> list[str]:
    """Say what changes beside scale and shift."""
    inner = successor.norm if isinstance(successor, ChannelsLast) else successor
    notes = []
    if getattr(former, "running_mean", None) is not None:
        notes.append("its running statistics are lost, since every sample gives its own")
    if isinstance(inner, _BATCH):
        notes.append("its running statistics start at mean 0 and variance 1: recalibrate it")
    if isinstance(inner, nn.RMSNorm):
        notes.append("no mean is subtracted any more")
    if isinstance(former, nn.RMSNorm):
        notes.append("a mean is subtracted now")
    return notes
