"""Plain values that go to JSON and come back exactly."""

import json
import math
from typing import Any

_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def to_json(value: Any) -> str:
    """Return a value as JSON: NaN and infinities are written as objects, floats keep every bit.

    Example:
        >>> from_json(to_json({"loss": [0.1, math.inf]}))
        {'loss': [0.1, inf]}
    """
    return json.dumps(_plain(value), allow_nan=False) + "\n"


def from_json(text: str) -> Any:
    """Read what `to_json` wrote; tuples come back as lists.

    Raises:
        ValueError: it is no JSON.
    """
    return _numbers(json.loads(text))


def finite(value: object) -> object:
    """Return a value as other programs read it: None for a number that is NaN or infinite.

    Example:
        >>> finite(math.inf), finite(0.5), finite("inf")
        (None, 0.5, 'inf')
    """
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _plain(value: Any) -> Any:
    match value:
        case dict():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case float() if not math.isfinite(value):
            return {"float": json.dumps(value)}
        case _:
            return value


def _numbers(value: Any) -> Any:
    match value:
        case {"float": str(special)}:
            return _SPECIAL[special]
        case dict():
            return {key: _numbers(item) for key, item in value.items()}
        case list():
            return [_numbers(item) for item in value]
        case _:
            return value
