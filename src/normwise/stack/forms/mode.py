"""Puts the stacked forms in the place of torch's functions while a network's forward runs."""

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from normwise.stack.forms.batch_norm import batch_norm
from normwise.stack.forms.cross_entropy import cross_entropy
from normwise.stack.forms.dropout import DROPOUTS, Masks
from normwise.stack.forms.linear import linear

_FORMS: dict[Callable[..., Any], Callable[..., Any]] = {
    F.linear: linear,
    F.batch_norm: batch_norm,
    F.cross_entropy: cross_entropy,
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
        if func in DROPOUTS:
            return self._masks.dropout(*args, is_feature=func is not F.dropout, **kwargs or {})
        return self._call(func, args, kwargs or {})

    def _call(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        return func(*args, **kwargs)


class StackedForms(DropoutForms):
    """Inside, a forward under torch.vmap uses the stacked forms as well."""

    def _call(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        form = _FORMS.get(func)
        result = NotImplemented if form is None else form(*args, **kwargs)
        return func(*args, **kwargs) if result is NotImplemented else result
