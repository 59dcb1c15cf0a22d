"""Where in the user's own code something happens."""

import sys
import sysconfig
from functools import cache
from pathlib import Path
from types import FrameType

_OURS = str(Path(__file__).resolve().parents[1])
_LIBRARIES = tuple(
    {str(Path(sysconfig.get_path(key)).resolve()) for key in ("stdlib", "purelib", "platlib")}
)
_PACKAGES = frozenset({"site-packages", "dist-packages"})


def caller() -> str:
    """Return `file.py:12`, the innermost line of the user's that led here.

    Installed packages and Python's own files are passed over. Files below the current folder are
    named from there. It is empty where normwise itself has made the call.

    Example:
        >>> from pathlib import Path
        >>> exec(compile("place = caller()", str(Path("train.py").absolute()), "exec"))
        >>> place.endswith("train.py:1")
        True
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _owner(frame.f_code.co_filename) == "normwise":
        frame = frame.f_back
    while frame is not None and _owner(frame.f_code.co_filename) == "library":
        frame = frame.f_back
    if frame is None or _owner(frame.f_code.co_filename) == "normwise":
        return ""
    return f"{_shown(frame.f_code.co_filename)}:{frame.f_lineno}"


def is_users(filename: str) -> bool:
    """Whether code is the user's own, and neither normwise's nor that of a package.

    Example:
        >>> is_users(__file__), is_users("train.py"), is_users("lib/site-packages/train.py")
        (False, True, False)
    """
    return _owner(filename) == "user"


@cache
def _shown(filename: str) -> str:
    path, here = Path(filename), Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else filename


@cache
def _owner(filename: str) -> str:
    path = str(Path(filename).resolve())
    if path.startswith(_OURS):
        return "normwise"
    if path.startswith(_LIBRARIES) or filename.startswith("<frozen"):
        return "library"
    return "user" if _PACKAGES.isdisjoint(Path(path).parts) else "library"  # another environment's
