"""Whether one of the transforms of `torch.func`, such as vmap and grad, is going on."""

from torch import Tensor, compiler
from torch._C import _functorch  # type: ignore[reportAttributeAccessIssue]


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
