"""What torch has under private names only, all in one place."""

# pyright: reportPrivateImportUsage=false, reportAttributeAccessIssue=false

from typing import Any

import torch
from torch import Tensor
from torch._C import _get_function_stack_at, _len_torch_function_stack
from torch.overrides import TorchFunctionMode, _pop_mode, _push_mode
from torch.utils._device import DeviceContext

foreach_norm = torch._foreach_norm
foreach_sub_ = torch._foreach_sub_

SHRINKERS: frozenset[Any] = frozenset({torch._foreach_mul_, Tensor.mul_})
"""How `clip_grad_norm_` and its like shrink gradients: by a factor that is a tensor."""

CLAMPS: frozenset[Any] = frozenset(
    {torch._foreach_clamp_min_, torch._foreach_clamp_max_, Tensor.clamp_}
)
"""How `clip_grad_value_` bounds gradients."""

UNSCALERS: frozenset[Any] = frozenset({torch._amp_foreach_non_finite_check_and_unscale_})
"""How a gradient scaler undoes its scaling."""

unseen = torch._C.DisableTorchFunction
"""A context in which no function mode sees what is called."""


def in_backward() -> bool:
    """Whether autograd is running a backward pass in this thread."""
    return torch._C._current_graph_task_id() != -1


def is_transformed(tensor: Tensor) -> bool:
    """Whether a tensor belongs to `torch.func`: it must not be kept beyond its transformation."""
    return torch._C._functorch.is_functorch_wrapped_tensor(tensor)


def function_modes() -> list[TorchFunctionMode]:
    """Return the function modes that are on, the outermost first."""
    return [_get_function_stack_at(i) for i in range(_len_torch_function_stack())]


def set_function_modes(modes: list[TorchFunctionMode]) -> None:
    """Replace the function modes that are on."""
    for _ in range(_len_torch_function_stack()):
        _pop_mode()
    for mode in modes:
        _push_mode(mode)


def is_default_device(mode: TorchFunctionMode) -> bool:
    """Whether a mode is what `torch.set_default_device` has put at the bottom."""
    return isinstance(mode, DeviceContext)
