"""Puts the stacked forms in the place of torch's functions while a network's forward runs."""

from collections.abc import Callable
from types import FunctionType
from typing import Any

import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from normwise.stack.forms.attention import attention
from normwise.stack.forms.batch_norm import batch_norm
from normwise.stack.forms.convolution import convolution
from normwise.stack.forms.cross_entropy import cross_entropy
from normwise.stack.forms.dropout import DROPOUTS, FILLS, Masks, PerRun
from normwise.stack.forms.embedding import embedding
from normwise.stack.forms.layout import LAYOUT_FORMS
from normwise.stack.forms.linear import linear
from normwise.stack.forms.recurrent import CELLS, has_dropout, recurrent

_FORMS: dict[Callable[..., Any], Callable[..., Any]] = {
    F.linear: linear,
    F.batch_norm: batch_norm,
    F.cross_entropy: cross_entropy,
    F.embedding: embedding,
    F.conv1d: convolution,
    F.conv2d: convolution,
    F.conv3d: convolution,
    **LAYOUT_FORMS,
}


class DropoutForms(TorchFunctionMode):
    """Inside, dropout gets its masks from elsewhere, or is only noted.

    Args:
        masks: what dropout turns to.
    """

    def __init__(self, masks: Masks) -> None:
        super().__init__()
        self._masks = masks

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.multi_head_attention_forward:
            with self:
                return _multi_head_attention_forward(*args, **kwargs)
        result = self._form(func, args, kwargs)
        if result is not NotImplemented:
            return result
        if any(isinstance(each, PerRun) for each in (*args, *kwargs.values())):
            raise ValueError("numbers that differ from run to run enter an operation on tensors")
        return func(*args, **kwargs)

    def _form(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return what stands for a function's result, or NotImplemented."""
        if func in DROPOUTS:
            return self._masks.dropout(func, *args, **kwargs)
        if func in FILLS:
            return self._masks.fill(func, *args, **kwargs)
        if func is F.scaled_dot_product_attention:
            return attention(self._masks, True, *args, **kwargs)
        if func in CELLS and has_dropout(*args):
            return recurrent(func, self._masks, *args)
        return NotImplemented


class StackedForms(DropoutForms):
    """Inside, a forward under torch.vmap uses the stacked forms as well."""

    def _form(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if func in _FORMS:
            return _FORMS[func](*args, **kwargs)
        if func is F.scaled_dot_product_attention:
            return attention(self._masks, False, *args, **kwargs)
        if func in CELLS:
            return recurrent(func, self._masks, *args)
        return super()._form(func, args, kwargs)


def _opened(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of torch's that a mode does not take as a whole, but looks into."""
    unseen = {"has_torch_function": lambda _: False}
    opened = FunctionType(
        function.__code__, function.__globals__ | unseen, argdefs=function.__defaults__
    )
    opened.__kwdefaults__ = function.__kwdefaults__
    return opened


_multi_head_attention_forward = _opened(F.multi_head_attention_forward)
