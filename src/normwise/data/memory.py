"""How much memory samples may take."""

import re

import psutil
import torch

from normwise.errors import UsageError

Memory = int | str

_SHARE = 0.5  # of what is available: networks, and copies on the way, need some as well
_UNITS = {"": 1, **{f"{p}b": 1000**i for i, p in enumerate(("", "k", "m", "g", "t"))}}
_UNITS |= {f"{p}ib": 1024**i for i, p in enumerate(("k", "m", "g", "t"), 1)}


def read_memory(memory: Memory) -> int:
    """Return a number of bytes, given as one or as a text.

    Args:
        memory: a number of bytes, or a text such as `"2GB"` (10^9) or `"2 GiB"` (2^30).

    Raises:
        UsageError: it is neither, or nothing at all.

    Example:
        >>> read_memory("1.5GB"), read_memory("2 KiB"), read_memory(4096)
        (1500000000, 2048, 4096)
    """
    if isinstance(memory, int) and not isinstance(memory, bool) and memory > 0:
        return memory
    if isinstance(memory, str):
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", memory.strip().lower())
        if found and found[2] in _UNITS and (size := int(float(found[1]) * _UNITS[found[2]])) > 0:
            return size
    raise UsageError(
        f"memory={memory!r}: give a positive number of bytes, or a text such as '500MB' or '2GB'"
    )


def available(device: torch.device) -> int:
    """Return the bytes that samples may take on a device by default."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0] * _SHARE)
    return int(psutil.virtual_memory().available * _SHARE)
