"""Give a parameter another shape under the feet of autograd."""

import torch
from torch import Tensor


def renew(tensor: Tensor, data: Tensor) -> None:
    """Give a parameter or buffer other values, perhaps of another shape; it stays the same object.

    A graph that is still alive, such as that of the last loss of a training loop, keeps the node
    that accumulates a parameter's gradient, and with it the former shape, which later backward
    passes would then be held to. Torch makes a new node when the dtype changes, so it does for a
    moment.
    """
    if tensor.requires_grad and tensor.shape != data.shape:
        other = torch.float32 if data.dtype == torch.float64 else torch.float64
        tensor.data = data.new_empty(0, dtype=other)
    tensor.data = data
