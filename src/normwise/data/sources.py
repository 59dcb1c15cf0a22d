"""The places that data comes from."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from normwise.data import archives, datasets, digits, mnist
from normwise.data.dataset import Data
from normwise.data.raw import Raw
from normwise.errors import UsageError, suggest
from normwise.references import call_reference, load_reference

Read = Callable[..., Raw]  # what reads one dataset or two

NAMED: dict[str, Callable[[], Raw]] = {"digits": digits.read, "mnist": mnist.read}

WHAT_CAN_BE_LOADED = (
    f"Data can be {' or '.join(repr(name) for name in NAMED)}, the path of an .npz or .safetensors "
    "file, 'file.py:function', 'module:function' or a function, arrays (x, y) or "
    "(x_train, y_train, x_test, y_test), one torch Dataset or a pair of them (train, test)"
)


def find(source: Any, memory: int | None = None, readers: int | None = None) -> Raw | Data:
    """Go where a source points to.

    Args:
        source: see `load`.
        memory: bytes that the inputs of a `Dataset` may take, or None for any number.
        readers: processes that read those of a larger one.

    Raises:
        UsageError: there is nothing, or nothing that data can be made of.
    """
    if isinstance(source, os.PathLike):
        return archives.read(Path(source))
    read = partial(datasets.read, memory=memory, readers=readers)
    if isinstance(source, str):
        return _find_text(source, read)
    if callable(source) and not isinstance(source, Dataset):
        name = getattr(source, "__name__", type(source).__name__)
        return _find_result(source, name, name, read)
    return _find_values(source, "arrays", read)


def _find_text(text: str, read: Read) -> Raw | Data:
    if text in NAMED:
        return NAMED[text]()
    path = Path(text).expanduser()
    if path.suffix in archives.SUFFIXES:
        return archives.read(path)
    place = text.rpartition(":")[0]
    if place:
        name = Path(place).stem if place.endswith(".py") else place.rpartition(".")[2]
        return _find_result(load_reference(text), text, name, read)
    if path.suffix == ".py":
        raise UsageError(f"{text}: name the function as well, as in {text}:function")
    if path.suffix or path.parent != Path():
        return archives.read(path)
    raise UsageError(
        f"no data is called {text!r}{suggest(text.lower(), NAMED)}. {WHAT_CAN_BE_LOADED}"
    )


def _find_result(function: Callable[[], Any], text: str, name: str, read: Read) -> Raw | Data:
    result = call_reference(function, text)
    try:
        if isinstance(result, Data):
            return result
        if isinstance(result, os.PathLike):
            return find(result)
        return (
            _find_text(result, read)
            if isinstance(result, str)
            else _find_values(result, name, read)
        )
    except UsageError as error:
        raise UsageError(
            *(f"what {text} returned: {problem}" for problem in error.problems)
        ) from error


def _find_values(source: Any, name: str, read: Read) -> Raw:
    if isinstance(source, Dataset):
        return read(source)
    if isinstance(source, tuple | list):
        if len(source) == 2 and all(isinstance(part, Dataset) for part in source):
            return read(source[0], source[1])
        if len(source) == 2:
            return Raw(name, (source[0], source[1]))
        if len(source) == 4:
            return Raw(name, (source[0], source[1]), (source[2], source[3]))
        what = f"a {type(source).__name__} of {len(source)}"
    else:
        what = f"a {type(source).__name__}"
    if hasattr(source, "columns"):
        what += " alone: say what is to be predicted, such as (frame[inputs], frame[target])"
    raise UsageError(f"no data can be made of {what}. {WHAT_CAN_BE_LOADED}")
