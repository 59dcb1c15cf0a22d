"""Where norms stand: the shapes that reach them, seen on an example or told by their kind."""

from collections.abc import Callable
from itertools import chain
from typing import Any

import torch
from torch import nn

from normwise.edit.editing import traced
from normwise.edit.making import Place, short
from normwise.errors import UsageError
from normwise.trace import Call, Trace, undisturbed

_RANKS = {
    nn.BatchNorm2d: 2,
    nn.BatchNorm3d: 3,
    nn.InstanceNorm1d: 1,
    nn.InstanceNorm2d: 2,
    nn.InstanceNorm3d: 3,
}


class Sight:
    """What is known about the places of norms.

    Args:
        network: left as it was.
        norms: by path.
        example: a batch to look at, or None for what the norms tell themselves.
    """

    def __init__(self, network: nn.Module, norms: dict[str, nn.Module], example: Any) -> None:
        self._like = next(network.parameters(), torch.empty(0))
        self._shapes: dict[str, list[tuple[int, ...]]] = {path: [] for path in norms}
        self.trace: Trace | None = None
        if example is not None:
            self.trace = traced(network, example)
            self._look(network, norms, Call.of(example))

    def place(self, path: str, norm: nn.Module, successor: str) -> Place:
        """Return the place of a norm.

        Raises:
            UsageError: what will come there depends on a shape that is not known.
        """
        like = next(chain(norm.parameters(), norm.buffers()), self._like)
        shapes = self._shapes[path]
        if len(set(shapes)) > 1 and successor == "rms":
            raise UsageError(
                f"{path} sees inputs of different shapes, {shapes[0]} and {shapes[1]}: an rms norm "
                "has a scale for each position and fits only one"
            )
        shape = shapes[0] if shapes else _told(path, norm, successor)
        return Place(path, shape, _unit_axis(norm, shape), len(shapes), like)

    def _look(self, network: nn.Module, norms: dict[str, nn.Module], call: Call) -> None:
        handles = [
            norm.register_forward_pre_hook(self._note(path), with_kwargs=True)
            for path, norm in norms.items()
        ]
        try:
            with undisturbed(network), torch.no_grad():
                call(network.train())
        finally:
            for handle in handles:
                handle.remove()

    def _note(self, path: str) -> Callable[..., None]:
        def note(norm: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:  # noqa: ARG001
            self._shapes[path].append(tuple(next(iter((*args, *kwargs.values()))).shape))

        return note


def _told(path: str, norm: nn.Module, successor: str) -> tuple[int, ...]:
    """Return a shape that stands for all that a norm may see, if it makes no difference."""
    rank = next((rank for kind, rank in _RANKS.items() if isinstance(norm, kind)), None)
    units = getattr(norm, "num_features", None) or getattr(norm, "num_channels", None)
    if units and rank and successor != "rms":
        return (2, units, *[2] * rank)
    if units and successor in ("group", "layer"):  # which take positions and do without
        return (2, units, 2)
    raise UsageError(
        f"{path} is a {short(norm)}, which does not tell what shape it sees, and the {successor} "
        "norm in its place depends on that: give an example, a batch on which it is used"
    )


def _unit_axis(norm: nn.Module, shape: tuple[int, ...]) -> int:
    if not isinstance(norm, nn.LayerNorm | nn.RMSNorm):
        return 1
    size = norm.normalized_shape
    if len(size) == 1 and type(norm) not in (nn.LayerNorm, nn.RMSNorm) and shape[-1] != size[0]:
        return 1  # it moves its axes
    return len(shape) - len(size)
