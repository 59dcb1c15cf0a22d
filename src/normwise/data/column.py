"""One input of a dataset that is not in memory."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from normwise.data.reading import Reading


@dataclass(frozen=True)
class Column:
    """What is known of one input once all samples have been looked at.

    Attributes:
        reading: brings the samples.
        shape: of all of them, (N, ...).
        dtype: that they are to have.
    """

    reading: "Reading"
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __len__(self) -> int:
        """Return the number of samples."""
        return self.shape[0]

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    def astype(self, dtype: Any, copy: bool = True) -> "Column":  # noqa: ARG002  # as of an array
        """Return the same in another dtype."""
        return replace(self, dtype=np.dtype(dtype))
