"""Keeps a fault of normwise from becoming one of the program that it watches."""

from collections.abc import Callable
from functools import wraps
from time import perf_counter
from typing import ParamSpec, TypeVar

import torch

from normwise.references import explain

P = ParamSpec("P")
R = TypeVar("R")


class Guard:
    """Wraps hooks, so that the first one that raises is the last one that runs.

    They do nothing where `torch.compile` traces the program, or they would be compiled too.

    Attributes:
        fault: what was raised, or None.
        seconds: how long all of them together have run.

    Example:
        >>> guard = Guard()
        >>> guard(lambda x: 1 / x)(0), guard.fault
        (None, 'ZeroDivisionError: division by zero')
    """

    def __init__(self) -> None:
        self.fault: str | None = None
        self.seconds = 0.0

    def __call__(self, hook: Callable[P, R]) -> Callable[P, R | None]:
        """Return a hook that does the same, or nothing once any has raised."""

        @wraps(hook)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R | None:
            if torch.compiler.is_compiling() or self.fault is not None:
                return None
            began = perf_counter()
            try:
                return hook(*args, **kwargs)
            except Exception as error:
                self.fault = explain(error)
                return None
            finally:
                self.seconds += perf_counter() - began

        return guarded
