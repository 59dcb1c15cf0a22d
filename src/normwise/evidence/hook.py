"""A hook that stays with the module on which it was set."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

_NOTHING: Callable[..., None] = nullcontext().__exit__
"""Takes anything and does nothing; Python's own, so that a file that holds it needs no normwise."""


class Hook:
    """Calls a function; a copy of it, in a copied or saved module, does nothing.

    Args:
        function: what is called.

    Example:
        >>> from copy import deepcopy
        >>> hook = Hook(lambda *args: len(args))
        >>> hook(1, 2), deepcopy(hook)(1, 2)
        (2, None)
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *args: Any) -> Any:
        """Call the function."""
        return self._function(*args)

    def __deepcopy__(self, _memo: Any) -> Callable[..., None]:
        """Return what does nothing."""
        return _NOTHING

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, str]]:
        """Say that what does nothing is to be made of it."""
        return getattr, (nullcontext(), "__exit__")
