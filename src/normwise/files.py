"""Writing files so that a reader, or a crash, never meets half of one."""

import os
import tempfile
from pathlib import Path

from normwise.errors import UsageError


def write_bytes(path: str | os.PathLike[str], content: bytes) -> Path:
    """Write a file atomically: to a temporary file beside it, then rename.

    Parent folders are made. Whatever stood at `path` stays whole until the new content does.

    Args:
        path: where the file goes.
        content: all of it.

    Returns:
        The path.

    Raises:
        UsageError: the folder cannot be made or written to, or the disk is full.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise _refusal(path, error) from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o666 & ~_umask())  # mkstemp's 0600 would hide a report from its readers
        Path(name).replace(path)
    except BaseException as error:
        Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _refusal(path, error) from error
        raise
    return path


def write_text(path: str | os.PathLike[str], content: str) -> Path:
    """Write a UTF-8 text file atomically; see `write_bytes`."""
    return write_bytes(path, content.encode())


def _refusal(path: Path, error: OSError) -> UsageError:
    reason = error.strerror or str(error)
    return UsageError(
        f"cannot write {path}: {reason}. Choose a folder that can be written to and has room; "
        "what was there before is unchanged."
    )


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
