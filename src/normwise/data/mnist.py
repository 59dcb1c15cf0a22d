"""MNIST, from the four files in which it is published."""

import gzip
import hashlib
import http.client
import os
import urllib.request
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from normwise.data.raw import Raw
from normwise.errors import UsageError
from normwise.files import write_bytes

if TYPE_CHECKING:
    from rich.progress import Progress

# MD5 of the unpacked content: files packed anew, or not at all, are as good as the originals.
CHECKSUMS = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
TIMEOUT = 10  # seconds without an answer
GZIP_MAGIC = b"\x1f\x8b"
IMAGE_HEADER, LABEL_HEADER = 16, 8  # bytes


def read() -> Raw:
    """Return 60000 + 10000 images of shape (1, 28, 28), float32 in 0..1, ten classes.

    Source: Y. LeCun, C. Cortes, C. J. C. Burges, The MNIST database of handwritten digits. The
    four IDX files are looked for in `folders()`; what is missing is downloaded to `cache()`.

    Raises:
        UsageError: a file is damaged, or missing and cannot be downloaded.
    """
    paths = {name: locate(name) for name in CHECKSUMS}
    contents = {name: unpack(path) for name, path in paths.items() if path is not None}
    missing = [name for name, path in paths.items() if path is None]
    if missing:
        contents |= download(missing)
    train, test = (
        (
            _images(contents[f"{part}-images-idx3-ubyte"]),
            np.frombuffer(contents[f"{part}-labels-idx1-ubyte"], np.uint8, offset=LABEL_HEADER),
        )
        for part in ("train", "t10k")
    )
    return Raw("mnist", train, test)


def folders() -> list[Path]:
    """Return where the files are looked for, in this order."""
    given = os.environ.get("NORMWISE_DATA")
    own = [Path(given).expanduser() / sub for sub in ("", "mnist", "MNIST/raw")] if given else []
    return [*own, cache(), Path("data/MNIST/raw").absolute()]


def cache() -> Path:
    """Return the folder to download to."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "normwise" / "mnist"


def locate(name: str) -> Path | None:
    """Return the first file of that name, packed or not, or None."""
    candidates = (folder / f"{name}{suffix}" for folder in folders() for suffix in ("", ".gz"))
    return next((path for path in candidates if path.is_file()), None)


def unpack(path: Path) -> bytes:
    """Read and check one file.

    Raises:
        UsageError: it cannot be read, or is not what it should be.
    """
    try:
        return checked(path.read_bytes(), path.name.removesuffix(".gz"))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise UsageError(
            f"{path} is damaged ({error}): delete it, and it is downloaded again, or put the "
            "original in its place"
        ) from error


def checked(content: bytes, name: str) -> bytes:
    """Return a file's content, unpacked.

    Raises:
        ValueError: it is not the file of that name.
    """
    if content.startswith(GZIP_MAGIC):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"gzip: {error}") from error
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != CHECKSUMS[name]:
        raise ValueError(f"MD5 of the unpacked content is {found} instead of {CHECKSUMS[name]}")
    return content


def download(names: list[str]) -> dict[str, bytes]:
    """Fetch files into the cache, and return their unpacked contents.

    Raises:
        UsageError: no mirror has an intact copy within reach, or the cache cannot be written.
    """
    contents: dict[str, bytes] = {}
    with _progress() as progress:
        for name in names:
            failures = []
            for mirror in MIRRORS:
                try:
                    packed = _fetch(f"{mirror}{name}.gz", progress)
                    contents[name] = checked(packed, name)
                except (OSError, ValueError, http.client.HTTPException) as error:
                    failures.append(f"{mirror}{name}.gz: {error}")
                    continue
                write_bytes(cache() / f"{name}.gz", packed)
                break
            else:
                raise UsageError(_what_to_do([n for n in names if n not in contents], failures))
    return contents


def _progress() -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    columns = ("{task.description}", BarColumn(), DownloadColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal)


def _fetch(url: str, progress: "Progress") -> bytes:
    with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
        size = answer.headers.get("Content-Length")
        task = progress.add_task(url.rpartition("/")[2], total=int(size) if size else None)
        content = bytearray()
        while part := answer.read(1 << 16):
            content += part
            progress.advance(task, len(part))
    return bytes(content)


def _what_to_do(missing: list[str], failures: list[str]) -> str:
    files = "\n".join(f"  {name}.gz" for name in missing)
    places = "\n".join(f"  {folder}" for folder in folders())
    reasons = "\n".join(f"  {failure}" for failure in failures)
    unset = "" if os.environ.get("NORMWISE_DATA") else ", after setting NORMWISE_DATA to it"
    return (
        f"mnist is not complete on this machine and cannot be downloaded:\n{reasons}\n"
        f"Put these files (unpacked ones without .gz do as well)\n{files}\n"
        f"into one of the folders\n{places}\nor into a folder of your own{unset}"
    )


def _images(content: bytes) -> np.ndarray:
    pixels = np.frombuffer(content, np.uint8, offset=IMAGE_HEADER)
    return pixels.reshape(-1, 1, 28, 28).astype(np.float32) / np.float32(255)
