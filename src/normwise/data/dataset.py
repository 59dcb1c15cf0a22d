"""What `load` returns: three splits of tensors, and how they came about."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor

from normwise.data.describe import describe
from normwise.data.head import Head
from normwise.data.memory import available
from normwise.data.preparing import Preparation
from normwise.data.split import Device, Split
from normwise.data.streamed import Streamed, streamed
from normwise.errors import UsageError

Scaling = Tensor | tuple[Tensor | None, ...] | dict[str, Tensor | None] | None


@dataclass(frozen=True, eq=False)
class Data:
    """A dataset as tensors.

    Attributes:
        name: what it is called in tables and reports.
        train: the split to train on.
        val: the split to select by.
        test: the split to touch once, at the end.
        task: ``"classes"``, ``"regression"`` or, for a dict of targets, ``"heads"``.
        classes: the number of classes C, or None where there are none, or several heads.
        mean: what standardisation subtracted, float64, broadcastable to a sample; None where
            nothing was standardised. For several inputs a tuple or dict of such.
        std: what it divided by, of the shape of `mean`.
        labels: what the user called the classes 0..C-1, in this order; else empty.
        heads: for several heads, the task of each by name.

    Example:
        >>> from normwise.data import load
        >>> data = load("digits")
        >>> data.train, data.task, data.classes
        (Split(1150 samples of 1×8×8 float32), 'classes', 10)
    """

    name: str
    train: Split
    val: Split
    test: Split
    task: Literal["classes", "regression", "heads"]
    classes: int | None = None
    mean: Scaling = field(default=None, repr=False)
    std: Scaling = field(default=None, repr=False)
    labels: tuple[Any, ...] = field(default=(), repr=False)
    heads: Mapping[str, Head] = field(default_factory=dict, repr=False)

    def describe(self) -> str:
        """Return the shapes, ranges, class balance and standardisation, as lines of text.

        Example:
            >>> from normwise.data import load
            >>> x = [[float(i), 1.0] for i in range(50)]
            >>> print(load((x, ["even", "odd"] * 25)).describe())
            arrays: 2 classes, samples of 2 float32
            standardised by the training split, per feature: mean 1 to 23.81, std 1 to 14.69
            split samples  x min x max
            train      32 -1.553 1.647
            val         8 -1.077 1.715
            test       10 -1.621 1.238
            class train  share val  share test  share
            even     16 50.0 %   4 50.0 %    5 50.0 %
            odd      16 50.0 %   4 50.0 %    5 50.0 %
        """
        return describe(self)

    @property
    def preparation(self) -> Preparation:
        """What was done to the samples, for those that come later."""
        return Preparation.of(self)

    def fingerprint(self) -> str:
        """Return 16 hex digits that change whenever a value, a shape or a dtype does.

        The device does not matter, nor do the names, nor whether tensors are streamed; a `Dataset`
        that is read as it is needed has a mark of its own, taken when it was loaded.

        Example:
            >>> from normwise.data import load
            >>> load("digits").fingerprint() == load("digits", seed=1).fingerprint()
            False
        """
        digest = hashlib.blake2b(digest_size=8)
        for split in (self.train, self.val, self.test):
            split.update(digest)
        return digest.hexdigest()

    def to(self, device: Device, memory: int | None = None) -> "Data":
        """Return the same data on a device.

        Samples that would take more than `memory` there stay where they are and are streamed: they
        are gathered a few steps ahead, from pinned memory where the device is a GPU.

        Args:
            device: where to.
            memory: bytes that the samples may take; None for half of what is free on a GPU that
                they are not on yet, and for any number elsewhere.

        Raises:
            UsageError: there is no such device here.

        Example:
            >>> from normwise.data import load
            >>> load("digits").to("cpu").train.x.device
            device(type='cpu')
        """
        check_device(device)
        place = torch.device(device)
        splits = {"train": self.train, "val": self.val, "test": self.test}
        whole = [split for split in splits.values() if not isinstance(split, Streamed)]
        if memory is None and place.type == "cuda" and self.train.device.type != "cuda":
            memory = available(place)
        if memory is not None and sum(split.sample_bytes for split in whole) > memory:
            splits = {name: streamed(split) for name, split in splits.items()}
        return replace(
            self,
            **{name: split.to(device) for name, split in splits.items()},
            mean=_moved(self.mean, device),
            std=_moved(self.std, device),
        )


def check_device(device: Device) -> None:
    """Raise a `UsageError` where there is no such device on this machine."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise UsageError(
            f"device={str(device)!r} cannot be used here: {reason}. Use 'cpu', which always can"
        ) from error


def pick_device(device: Device) -> Device:
    """Return a device; `auto` is CUDA where there is one, else MPS, else the CPU.

    Args:
        device: `auto`, or what torch takes, which is returned as it is.

    Example:
        >>> pick_device("cpu")
        'cpu'
    """
    if device != "auto":
        return device
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _moved(scaling: Scaling, device: Device) -> Scaling:
    if scaling is None:
        return None
    if isinstance(scaling, tuple):
        return tuple(_moved_tensor(tensor, device) for tensor in scaling)
    if isinstance(scaling, dict):
        return {name: _moved_tensor(tensor, device) for name, tensor in scaling.items()}
    return _moved_tensor(scaling, device)


def _moved_tensor(tensor: Tensor | None, device: Device) -> Tensor | None:
    if tensor is None:
        return None
    knows_float64 = torch.device(device).type != "mps"
    return tensor.to(device, torch.float64 if knows_float64 else torch.float32)
