"""What goes on around a forward: autograd, a compiler, a transform of `torch.func`, a backward."""

import torch
from torch import Tensor, compiler
from torch._C import _functorch  # type: ignore[reportAttributeAccessIssue]


def followed() -> bool:
    """Whether somebody follows what is computed, so that memory must not be written to twice."""
    return torch.is_grad_enabled() or compiler.is_compiling() or in_transform()


def in_transform() -> bool:
    """Whether a transform of `torch.func` is going on, outside of compiled code."""
    return not compiler.is_compiling() and _functorch.maybe_current_level() is not None


def is_shared(buffer: Tensor) -> bool:
    """Whether a buffer is one for all calls of the transforms of `torch.func` that are going on."""
    if not in_transform():
        return False
    while _functorch.is_functorch_wrapped_tensor(buffer):
        if _functorch.is_batchedtensor(buffer):
            return False
        buffer = _functorch.get_unwrapped(buffer)
    return True


def recomputing() -> bool:
    """Whether this forward is part of a backward pass, as in activation checkpointing."""
    return not compiler.is_compiling() and torch._C._current_graph_task_id() != -1
