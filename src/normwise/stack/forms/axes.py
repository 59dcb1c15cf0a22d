"""Bring every run's tensor to the front."""

from torch import Tensor


def runs_first(tensor: Tensor | None, axis: int | None, runs: int) -> Tensor | None:
    """Return the tensor with the run axis first, expanded where the runs share it.

    Args:
        tensor: of all runs, or None.
        axis: its run axis, or None where the runs share it.
        runs: how many there are.
    """
    if tensor is None:
        return None
    if axis is None:
        return tensor.expand(runs, *tensor.shape)
    return tensor if axis == 0 else tensor.movedim(axis, 0)
