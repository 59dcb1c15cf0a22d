"""The user's own code, named in text: ``file.py:function`` or ``module:function``."""

import importlib
import importlib.util
import inspect
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from normwise.errors import UsageError, suggest

_HERE = Path(__file__).resolve().parent
_LIBRARIES = {Path(sysconfig.get_path(key)).resolve() for key in ("stdlib", "purelib", "platlib")}
_neighbours: dict[str, Path] = {}


def load_reference(text: str, what: str = "a data function") -> Callable[..., Any]:
    """Import the function that ``file.py:function`` or ``module:function`` names.

    While a file loads, its own folder can be imported from, and while a module loads, the current
    folder can; ``sys.path`` is then as it was. A file is executed anew each time.

    Args:
        text: the reference.
        what: what is wanted, with its article, for the messages.

    Returns:
        The function, or whatever can be called under that name.

    Raises:
        UsageError: the text is no reference, there is no such file, module or name, the import
            raises, or what is found cannot be called.

    Example:
        >>> load_reference("math:sqrt")(16.0)
        4.0
        >>> load_reference("math:sqr")
        Traceback (most recent call last):
        normwise.errors.UsageError: math has no 'sqr' (did you mean 'sqrt'?)
    """
    place, _, name = text.rpartition(":")
    if not place or not name:
        raise UsageError(
            f"{text!r} does not name {what}: write file.py:function or module:function"
        )
    module = _load_file(Path(place).expanduser()) if place.endswith(".py") else _load_module(text)
    if not hasattr(module, name):
        raise UsageError(f"{place} has no {name!r}{suggest(name, _public_names(module))}")
    found = getattr(module, name)
    if not callable(found):
        raise UsageError(
            f"{text} is a {type(found).__name__}, which cannot be called: name {what} instead"
        )
    return found


def call_reference(function: Callable[..., Any], text: str) -> Any:
    """Call a function of the user's without arguments.

    Args:
        function: what is called.
        text: how the user named it, for the messages.

    Returns:
        What the function returns.

    Raises:
        UsageError: the function needs arguments, or raises.

    Example:
        >>> call_reference(lambda size: size, "nets.py:make")
        Traceback (most recent call last):
        normwise.errors.UsageError: nets.py:make needs arguments (size), but is called without \
any: give them defaults
    """
    needed = _needed_arguments(function)
    if needed:
        raise UsageError(
            f"{text} needs arguments ({', '.join(needed)}), but is called without any: "
            "give them defaults"
        )
    try:
        return function()
    except (Exception, SystemExit) as error:
        raise UsageError(f"{text} raised {explain(error)}") from error


def explain(error: BaseException) -> str:
    """Return an exception's kind, its message, and the line of the user's code that it came from.

    Frames of installed packages and of normwise are passed over, so that the line is one that the
    user can change.

    Example:
        >>> explain(ValueError("no such column"))
        'ValueError: no such column'
    """
    message = str(error.msg if isinstance(error, SyntaxError) else error)
    place = _place(error)
    return type(error).__name__ + (f": {message}" if message else "") + (place and f" ({place})")


def _place(error: BaseException) -> str:
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [f"{frame.filename}:{frame.lineno}" for frame in frames if _is_users(frame.filename)]
    return own[-1] if own else ""


def _is_users(filename: str) -> bool:
    path = Path(filename).resolve()
    generated = filename.startswith("<")
    return not generated and not any(path.is_relative_to(it) for it in (_HERE, *_LIBRARIES))


def _needed_arguments(function: Callable[..., Any]) -> list[str]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (ValueError, TypeError):  # some builtins keep theirs to themselves
        return []
    starred = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p.name for p in parameters if p.default is p.empty and p.kind not in starred]


def _public_names(module: ModuleType) -> list[str]:
    return [name for name in vars(module) if not name.startswith("_")]


def _load_file(path: Path) -> ModuleType:
    path = path.absolute()
    if not path.is_file():
        near = suggest(path.name, (other.name for other in path.parent.glob("*.py")))
        raise UsageError(f"no such file: {path}{near}")
    name = f"normwise_reference_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    _forget_namesakes(path.parent)
    before = set(sys.modules)
    sys.modules[name] = module  # dataclasses and pickle look their module up there
    try:
        with _importable(path.parent):
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise UsageError(f"importing {path} raised {explain(error)}") from error
    finally:
        _remember_neighbours(path.parent, set(sys.modules) - before)
    return module


def _load_module(text: str) -> ModuleType:
    name = text.rpartition(":")[0]
    try:
        with _importable(Path.cwd()):
            return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        absent = error.name if isinstance(error, ModuleNotFoundError) else None
        if absent and f"{name}.".startswith(f"{absent}."):
            raise UsageError(
                f"{text}: there is no module {absent!r}; a file is named with its ending, "
                "as in file.py:function"
            ) from error
        raise UsageError(f"importing {name} raised {explain(error)}") from error


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    before = sys.path.copy()
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:] = before


# Two files in two folders may each have a neighbour `layers.py`. Python would hand the first one's
# to both, and a study would then compare a network with itself.


def _remember_neighbours(folder: Path, names: set[str]) -> None:
    tops = {name for name in names if "." not in name and _has(folder, sys.modules[name])}
    _neighbours.update({name: folder for name in names if name.partition(".")[0] in tops})


def _has(folder: Path, module: ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    if file is None:
        return False
    path = Path(file)
    return folder == (path.parent.parent if path.stem == "__init__" else path.parent)


def _forget_namesakes(folder: Path) -> None:
    for name, home in list(_neighbours.items()):
        top = name.partition(".")[0]
        if home != folder and ((folder / f"{top}.py").exists() or (folder / top).is_dir()):
            sys.modules.pop(name, None)
            del _neighbours[name]
