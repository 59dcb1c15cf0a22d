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


def caller() -> str:
    """Return `file.py:12`, the innermost line of the user's that led here.

    Installed packages and Python's own files are passed over. It is empty where normwise itself
    has made the call.

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
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


@cache
def _owner(filename: str) -> str:
    path = str(Path(filename).resolve())
    if path.startswith(_OURS):
        return "normwise"
    return "library" if path.startswith(_LIBRARIES) or filename.startswith("<frozen") else "user"
