"""Functions that torch.vmap calls with all runs' tensors at once."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


class Form(torch.autograd.Function):
    """A function that is there for its `vmap` alone, since every run's tensors enter it."""

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep nothing: what `vmap` returns has a gradient of its own."""

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        """Not reached."""
        raise NotImplementedError("a stacked form that no run's tensor enters")


def runs_first(
    tensors: Iterable[Tensor | None], axes: Iterable[int | None], runs: int
) -> list[Tensor]:
    """Return tensors with the run axis first, expanded where the runs share one.

    Args:
        tensors: of all runs. None stays None.
        axes: their run axes, None where the runs share a tensor.
        runs: how many there are.
    """
    return [_first(tensor, axis, runs) for tensor, axis in zip(tensors, axes, strict=False)]  # type: ignore


def _first(tensor: Tensor | None, axis: int | None, runs: int) -> Tensor | None:
    if tensor is None:
        return None
    if axis is None:
        return tensor.expand(runs, *tensor.shape)
    return tensor if axis == 0 else tensor.movedim(axis, 0)
