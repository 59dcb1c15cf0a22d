"""Several inputs, or several targets, as parts that are looked at one by one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from normwise.data.column import Column

Value = TypeVar("Value")
Key = int | str


@dataclass(frozen=True)
class Parts:
    """What samples or targets consist of.

    Attributes:
        whole: what the whole is called, such as `x`.
        keys: positions of a tuple, or names of a dict; None where there is one part only.

    Example:
        >>> parts, values = Parts.of({"left": np.ones((4, 2)), "right": np.ones((4, 3))}, "x")
        >>> parts.names
        ["x['left']", "x['right']"]
        >>> list(parts.join([1, 2]))
        ['left', 'right']
    """

    whole: str
    keys: tuple[Key, ...] | None = None

    @classmethod
    def of(cls, value: Any, whole: str) -> tuple["Parts", list[Any]]:
        """Take a value apart: a dict by its names, a tuple of arrays by position.

        A list, or a tuple of plain numbers, is one array.
        """
        if isinstance(value, Mapping):
            return cls(whole, tuple(map(str, value))), list(value.values())
        if isinstance(value, tuple) and value and all(_is_array(part) for part in value):
            return cls(whole, tuple(range(len(value)))), list(value)
        return cls(whole), [value]

    @property
    def names(self) -> list[str]:
        """What each part is called in messages."""
        return [self.whole] if self.keys is None else [f"{self.whole}[{k!r}]" for k in self.keys]

    def join(self, values: Sequence[Value]) -> Value | tuple[Value, ...] | dict[str, Value]:
        """Return one value per part in the form of the whole."""
        if self.keys is None:
            return values[0]
        if all(isinstance(key, int) for key in self.keys):
            return tuple(values)
        return {str(key): value for key, value in zip(self.keys, values, strict=True)}


def _is_array(value: Any) -> bool:
    if isinstance(value, Column):
        return True
    return len(np.shape(value) if hasattr(value, "__array__") else ()) > 0
