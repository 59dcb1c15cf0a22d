"""What was done to the samples of a dataset, for samples that come later."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from normwise.data.arrays import check_finite, read_samples
from normwise.data.head import Head
from normwise.data.parts import Key, Parts
from normwise.errors import UsageError
from normwise.samples import Samples, tensors

if TYPE_CHECKING:
    from normwise.data.dataset import Data


@dataclass(frozen=True)
class Preparation:
    """How raw samples become what a network was trained on, and outputs what the user calls them.

    Attributes:
        keys: of several inputs; None for one.
        shapes: of a sample, input by input.
        dtypes: likewise.
        mean: what is subtracted from each, or None.
        std: what each is divided by, or None.
        heads: the task of each head by name; a single one is called "".

    Example:
        >>> from normwise.data import load
        >>> data = load(([[0.0], [2.0]] * 20, ["a", "b"] * 20))
        >>> data.preparation.samples([[0.0], [1.0], [2.0]]).flatten().tolist()
        [-1.0, 0.0, 1.0]
        >>> data.preparation.predictions(torch.tensor([[0.1, 0.9]])).tolist()
        ['b']
    """

    keys: tuple[Key, ...] | None
    shapes: list[tuple[int, ...]]
    dtypes: list[torch.dtype]
    mean: list[Tensor | None]
    std: list[Tensor | None]
    heads: Mapping[str, Head]

    @classmethod
    def of(cls, data: "Data") -> "Preparation":
        """Read it off a dataset."""
        x = data.train.x
        keys = tuple(x) if isinstance(x, dict) else tuple(range(len(x)))
        parts = tensors(x)
        return cls(
            None if isinstance(x, Tensor) else keys,
            [tuple(part.shape[1:]) for part in parts],
            [part.dtype for part in parts],
            _listed(data.mean, len(parts)),
            _listed(data.std, len(parts)),
            data.heads or {"": data},  # type: ignore[dict-item]  # it has all that a head has
        )

    def to_plain(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {
            "keys": None if self.keys is None else list(self.keys),
            "shapes": [list(shape) for shape in self.shapes],
            "dtypes": [str(dtype).removeprefix("torch.") for dtype in self.dtypes],
            "mean": [None if mean is None else mean.tolist() for mean in self.mean],
            "std": [None if std is None else std.tolist() for std in self.std],
            "heads": {
                name: {"task": head.task, "classes": head.classes, "labels": list(head.labels)}
                for name, head in self.heads.items()
            },
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Preparation":
        """Read what `to_plain` returned.

        Raises:
            KeyError, TypeError, AttributeError: it is something else.
        """
        return cls(
            None if plain["keys"] is None else tuple(plain["keys"]),
            [tuple(shape) for shape in plain["shapes"]],
            [getattr(torch, dtype) for dtype in plain["dtypes"]],
            [None if m is None else torch.tensor(m, dtype=torch.float64) for m in plain["mean"]],
            [None if s is None else torch.tensor(s, dtype=torch.float64) for s in plain["std"]],
            {
                name: Head(head["task"], head["classes"], tuple(head["labels"]))
                for name, head in plain["heads"].items()
            },
        )

    def example(self, samples: int) -> Samples:
        """Return made-up samples of the same form: normal numbers, or zeros for integers."""
        draw = torch.Generator().manual_seed(0)
        made = [
            torch.randn(samples, *shape, generator=draw).to(dtype)
            if dtype.is_floating_point
            else torch.zeros(samples, *shape, dtype=dtype)
            for shape, dtype in zip(self.shapes, self.dtypes, strict=True)
        ]
        return Parts("x", self.keys).join(made)

    def samples(self, x: Any) -> Samples:
        """Return raw samples as the network takes them.

        Raises:
            UsageError: they are not of the form, shape or kind of those it was trained on, or
                some are NaN or infinite.
        """
        parts, values = Parts.of(x, "x")
        if parts.keys != self.keys:
            wanted = Parts("x", self.keys).names
            raise UsageError(
                f"x consists of {', '.join(parts.names)}, and the network was trained on "
                f"{', '.join(wanted)}"
            )
        prepared = [
            self._prepared(value, name, place)
            for place, (name, value) in enumerate(zip(parts.names, values, strict=True))
        ]
        return parts.join(prepared)

    def _prepared(self, value: Any, name: str, place: int) -> Tensor:
        array = read_samples(value, name)
        if array.shape[1:] != self.shapes[place]:
            raise UsageError(
                f"{name} has samples of shape {array.shape[1:]}, and the network was trained on "
                f"{self.shapes[place]}"
            )
        check_finite(array, name)
        mean, std = self.mean[place], self.std[place]
        tensor = torch.from_numpy(np.array(array))
        if mean is not None and std is not None:
            tensor = (tensor.double() - mean.cpu()) / std.cpu()
        return tensor.to(self.dtypes[place])

    def predictions(self, output: Any) -> Any:
        """Return what outputs mean: labels as the user calls them, or numbers.

        Args:
            output: of the network; a dict for several heads.

        Returns:
            A NumPy array with a prediction for every sample, or a dict of them.
        """
        if isinstance(output, Mapping):
            return {name: _prediction(output[name], head) for name, head in self.heads.items()}
        [head] = self.heads.values()
        return _prediction(output, head)


def _prediction(output: Tensor, head: Head) -> np.ndarray:
    output = output.detach().cpu()
    if head.task == "regression":
        return output.numpy()
    single = output.ndim == 1 or output.shape[-1] == 1
    classes = (output > 0).long().reshape(len(output)) if single else output.argmax(-1)
    return np.asarray(head.labels or range(head.classes or 2))[classes.numpy()]


def _listed(scaling: Any, parts: int) -> list[Tensor | None]:
    if scaling is None:
        return [None] * parts
    if isinstance(scaling, Tensor):
        return [scaling]
    return list(scaling.values() if isinstance(scaling, dict) else scaling)
