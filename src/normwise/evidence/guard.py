"""Keeps a fault of normwise from becoming one of the program that it watches."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from normwise.references import explain

P = ParamSpec("P")
R = TypeVar("R")


class Guard:
    """Wraps hooks, so that the first one that raises is the last one that runs.

    Attributes:
        fault: what was raised, or None.

    Example:
        >>> guard = Guard()
        >>> guard(lambda x: 1 / x)(0), guard.fault
        (None, 'ZeroDivisionError: division by zero')
    """

    def __init__(self) -> None:
        self.fault: str | None = None

    def __call__(self, hook: Callable[P, R]) -> Callable[P, R | None]:
        """Return a hook that does the same, or nothing once any has raised."""

        @wraps(hook)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R | None:
            if self.fault is not None:
                return None
            try:
                return hook(*args, **kwargs)
            except Exception as error:
                self.fault = explain(error)
                return None

        return guarded
