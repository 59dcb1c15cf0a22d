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


class _Forms(TorchFunctionMode):
    """Inside, other functions take the place of torch's, where they can."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        result = self._form(func, args, kwargs)
        return self._own(func, args, kwargs) if result is NotImplemented else result

    def _form(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return what stands for a function's result, or NotImplemented."""
        raise NotImplementedError

    def _own(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return torch's own result."""
        return func(*args, **kwargs)


class LayoutForms(_Forms):
    """Inside, the forward of one network takes tensors with their channels last, too."""

    def _form(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return LAYOUT_FORMS[func](*args, **kwargs) if func in LAYOUT_FORMS else NotImplemented


class DropoutForms(_Forms):
    """Inside, dropout gets its masks from elsewhere, or is only noted.

    Args:
        masks: what dropout turns to.
    """

    def __init__(self, masks: Masks) -> None:
        super().__init__()
        self._masks = masks

    def _form(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if func is F.multi_head_attention_forward:
            with self:
                return _multi_head_attention_forward(*args, **kwargs)
        if func in DROPOUTS:
            return self._masks.dropout(func, *args, **kwargs)
        if func in FILLS:
            return self._masks.fill(func, *args, **kwargs)
        if func is F.scaled_dot_product_attention:
            return attention(self._masks, True, *args, **kwargs)
        if func in CELLS and has_dropout(*args):
            return recurrent(func, self._masks, *args)
        return NotImplemented

    def _own(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if any(isinstance(each, PerRun) for each in (*args, *kwargs.values())):
            raise ValueError("numbers that differ from run to run enter an operation on tensors")
        return func(*args, **kwargs)


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
