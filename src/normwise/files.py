"""Writing files so that a reader, a crash or another process never meets half of one."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from normwise.errors import UsageError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


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


@contextmanager
def owned(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Keep other processes of this machine from owning a folder meanwhile.

    The lock is an empty file in the system's folder for temporary ones. It counts for nothing once
    its process has ended, however it did. Where there are no such locks, nothing is kept.

    Args:
        folder: where this process is about to write; it need not exist.

    Raises:
        UsageError: another process owns it.
    """
    path = _lock_of(Path(folder))
    try:
        lock = path.open("a")
    except OSError:  # nowhere to put it
        yield
        return
    with lock:
        if not _took(lock, path):
            raise UsageError(
                f"another process is writing to {folder}: wait for its end, or name another folder"
            )
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _lock_of(folder: Path) -> Path:
    mark = hashlib.blake2b(str(folder.resolve()).encode(), digest_size=16).hexdigest()
    return Path(tempfile.gettempdir()) / f"normwise-{mark}.lock"


def _took(lock: TextIO, path: Path) -> bool:
    """Take a lock if it is free, and tell; its last owner may just have removed the file."""
    if fcntl is None:
        return True
    try:
        # A record lock, since a forked worker would inherit a lock of the open file.
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(path.stat(), os.fstat(lock.fileno()))
    except (BlockingIOError, FileNotFoundError):
        return False
    except OSError:  # a disk without locks
        return True


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
