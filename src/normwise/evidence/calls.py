"""Sees every torch function that the user's program calls, while a step is measured."""

from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from normwise.evidence.graph import GraphMeter, plain_name
from normwise.evidence.guard import Guard
from normwise.evidence.private import (
    function_modes,
    is_default_device,
    set_function_modes,
    unseen,
)

Handler = Callable[[tuple[Any, ...], dict[str, Any], Any], None]


class Calls(TorchFunctionMode):
    """A function mode that can be switched on and off at any point of a program.

    Args:
        handlers: called after the functions under which they stand, with what went in and came out.
        module: returns the path of the module whose forward is running, or None.
        guard: what is called here must not raise.
    """

    def __init__(
        self,
        handlers: dict[Callable[..., Any], Handler],
        module: Callable[[], str | None],
        guard: Guard,
    ) -> None:
        super().__init__()
        self._note = guard(self._tell)
        self._handlers = handlers
        self._module = module
        self.graph: GraphMeter | None = None
        self._on = False

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if torch.compiler.is_compiling():
            return result
        handler = self._handlers.get(func)
        if handler is not None or (self.graph is not None and func.__name__ != "__get__"):
            self._note(func, handler, args, kwargs, result)
        return result

    def _tell(
        self,
        func: Callable[..., Any],
        handler: Handler | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        result: Any,
    ) -> None:
        with unseen():
            if self.graph is not None:
                self.graph.note(plain_name(func), self._module(), args, kwargs, result)
            if handler is not None:
                handler(args, kwargs, result)

    def switch(self, on: bool) -> None:
        """Start or stop seeing calls.

        A mode that the user has entered leaves by popping the topmost one, so this one goes to the
        bottom, above nothing but torch's default device, which must lie there.
        """
        if not on and not self._on:
            return
        self._on = on
        modes = [mode for mode in function_modes() if mode is not self]
        if on:
            modes.insert(bool(modes) and is_default_device(modes[0]), self)
        set_function_modes(modes)
