"""The samples of one split."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from normwise.data.describe import samples_text
from normwise.errors import UsageError
from normwise.samples import Samples, Targets, each, tensors

Device = str | torch.device


@dataclass(frozen=True, eq=False, repr=False)
class Split:
    """The samples of one split, and what is to be predicted from them.

    Attributes:
        x: the samples, shape (N, ...); a tuple or dict of such tensors for several inputs.
        y: the targets: labels 0..C-1 of shape (N,) and dtype int64, or floats of shape (N, ...); a
            dict of such tensors for several heads.

    Example:
        >>> Split(torch.zeros(5, 2), torch.zeros(5))
        Split(5 samples of 2 float32)
    """

    x: Samples
    y: Targets

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(tensors(self.x)[0])

    def __repr__(self) -> str:
        return f"Split({len(self)} samples of {samples_text(self.x)})"

    def __getitem__(self, rows: slice | Tensor) -> "Split":
        """Return some of the samples with their targets."""
        return self.each(lambda tensor: tensor[rows])

    @property
    def single(self) -> Tensor:
        """The samples, where there is only one input.

        Raises:
            UsageError: there are several.
        """
        if not isinstance(self.x, Tensor):
            raise UsageError(
                f"one input is needed here, and the samples have several: {samples_text(self.x)}"
            )
        return self.x

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return tensors(self.x)[0].device

    @property
    def sample_bytes(self) -> int:
        """Bytes of all samples, without the targets."""
        return sum(tensor.nbytes for tensor in tensors(self.x))

    def parts(self, rows: int) -> Iterator["Split"]:
        """Yield all samples in order, `rows` at a time."""
        return (self[start : start + rows] for start in range(0, len(self), rows))

    def each(self, function: Callable[[Tensor], Tensor]) -> "Split":
        """Return the split with every tensor replaced by what a function makes of it."""
        return Split(each(self.x, function), each(self.y, function))

    def cast(self, dtype: torch.dtype) -> "Split":
        """Return the split with every tensor of floats in another dtype."""
        return self.each(lambda t: t.to(dtype) if t.is_floating_point() else t)

    def update(self, digest: Any) -> None:
        """Put every value, shape and dtype into a digest of `hashlib`."""
        for tensor in (*tensors(self.x), *tensors(self.y)):
            add_tensor(digest, tensor)

    def ranges(self) -> list[tuple[float, float] | None]:
        """Return the least and the largest value of each input; None where they are not known."""
        return [(x.min().item(), x.max().item()) for x in tensors(self.x)]

    def to(self, device: Device) -> "Split":
        """Return the split on a device."""
        return self.each(lambda tensor: tensor.to(device))


def add_tensor(digest: Any, tensor: Tensor) -> None:
    """Put the dtype, the shape and the values of a tensor into a digest of `hashlib`."""
    digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
    digest.update(tensor.cpu().contiguous().numpy().data)
