"""Batch normalization as a function, and the closed forms of the backward passes."""

import torch
import torch.nn.functional as F
from torch import Tensor

from normwise.layers.batch_norm_checks import check_arguments
from normwise.layers.closed_form import batch_norm_backward, layer_norm_backward
from normwise.layers.groups import by_groups
from normwise.layers.masks import per_element
from normwise.layers.normalizing import Statistics
from normwise.layers.tracking import Running, track

__all__ = ["batch_norm", "batch_norm_backward", "layer_norm_backward"]


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    mask: Tensor | None = None,
    virtual_batch_size: int | None = None,
) -> Tensor:
    """`F.batch_norm`, with masks and ghost batches; see `BatchNorm1d`.

    Shape:
        - input and output: `(N, C, *)`
        - mask: boolean, True where there is data: `(N, *)`, or what broadcasts to the input
        - all others: `(C,)`

    Args:
        input: the batch.
        running_mean: moved in training, used in evaluation. None for neither.
        running_var: likewise.
        weight: per channel. Default: 1
        bias: per channel. Default: 0
        training: use the statistics of the batch. Default: False
        momentum: weight of a batch in the running statistics. Default: 0.1
        eps: added to the variance. Default: 1e-5
        mask: elements for which it is False neither count nor change. Default: all count
        virtual_batch_size: samples of a ghost batch, at most. Default: the whole batch

    Raises:
        UsageError: whole numbers, shapes that do not fit, running statistics that are missing, a
            ghost batch of no samples, or one with a single value per channel.

    Example:
        >>> x = torch.randn(8, 3)
        >>> y = batch_norm(x, None, None, training=True, virtual_batch_size=4)
        >>> torch.allclose(y[:4], F.batch_norm(x[:4], None, None, training=True), atol=1e-5)
        True
    """
    units = {
        "running_mean": running_mean,
        "running_var": running_var,
        "weight": weight,
        "bias": bias,
    }
    check_arguments(input, units, virtual_batch_size, training=training)
    kept = None if mask is None else per_element(mask, input)
    if not training:
        valid = input if kept is None else torch.where(kept, input, 0)
        y = F.batch_norm(valid, running_mean, running_var, weight, bias, False, momentum, eps)
        return y if kept is None else torch.where(kept, y, input)
    if kept is None and virtual_batch_size is None:
        tensors = (running_mean, running_var, weight, bias)
        return F.batch_norm(input, *tensors, training, momentum, eps)
    y, seen = by_groups(input, weight, bias, Statistics(eps), kept, virtual_batch_size)
    if running_mean is not None:
        assert running_var is not None
        batches = torch.zeros((), dtype=torch.long, device=input.device)
        track(Running(running_mean, running_var, batches), seen, momentum)
    return y
