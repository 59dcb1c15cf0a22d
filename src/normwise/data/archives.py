"""Files of named arrays. Nothing is ever unpickled."""

from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

from normwise.data.raw import Raw
from normwise.errors import UsageError, suggest

WHOLE = ("x", "y")
DIVIDED = ("x_train", "y_train", "x_test", "y_test")
SUFFIXES = (".npz", ".safetensors")


def read(path: Path) -> Raw:
    """Read arrays named x, y or x_train, y_train, x_test, y_test; others are left alone.

    Raises:
        UsageError: there is no such file, it is no such archive or damaged, or holds other arrays.
    """
    if path.suffix not in SUFFIXES:
        raise UsageError(
            f"{path}: data is read from files that end in {' or '.join(SUFFIXES)}; for any other, "
            "write a function that returns (x, y) and pass 'file.py:function'"
        )
    if not path.is_file():
        near = suggest(path.name, (other.name for other in path.parent.glob(f"*{path.suffix}")))
        raise UsageError(f"no such file: {path.absolute()}{near}")
    try:
        arrays = _read_npz(path) if path.suffix == ".npz" else _read_safetensors(path)
    except UsageError:
        raise
    except Exception as error:  # a damaged file can make its reader stumble in many ways
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise UsageError(
            f"{path} cannot be read as {path.suffix}: {reason}. It may be damaged, or hold Python "
            "objects, which are never loaded: save plain arrays of numbers or strings"
        ) from error
    values = tuple(arrays.values())
    if len(values) == len(WHOLE):
        return Raw(path.stem, (values[0], values[1]))
    return Raw(path.stem, (values[0], values[1]), (values[2], values[3]))


def _read_npz(path: Path) -> dict[str, Any]:
    file = np.load(path, allow_pickle=False)
    if isinstance(file, np.ndarray):
        raise UsageError(f"{path} holds a single array: save with np.savez(path, x=x, y=y)")
    with file:
        return {name: file[name] for name in _wanted(path, file.files)}


def _read_safetensors(path: Path) -> dict[str, Any]:
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in _wanted(path, file.keys())}


def _wanted(path: Path, names: list[str]) -> tuple[str, ...]:
    known = {name for name in names if name in WHOLE + DIVIDED}
    for wanted in (WHOLE, DIVIDED):
        if known == set(wanted):
            return wanted
    raise UsageError(
        f"{path} holds {', '.join(sorted(names)) or 'nothing'}: needed are either "
        f"{', '.join(WHOLE)} or {', '.join(DIVIDED)}"
    )
