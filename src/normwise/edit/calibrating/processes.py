"""What the processes of a torch.distributed group do together; alone, one does it by itself."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor

from normwise.errors import UsageError


def gathered(values: Tensor) -> list[Tensor]:
    """Return these values of every process, in the order of ranks."""
    if not _in_group():
        return [values]
    mine = values.cpu() if dist.get_backend() == "gloo" else values
    everyones = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
    dist.all_gather(everyones, mine)
    return [theirs.to(values.device) for theirs in everyones]


@contextmanager
def together(device: torch.device) -> Iterator[None]:
    """Raise in every process if the block raises in one, so that none waits for it forever.

    Raises:
        UsageError: the block has raised in another process.
    """
    try:
        yield
    except Exception:
        gathered(torch.zeros(1, device=device))
        raise
    fine = [bool(flag) for flag in gathered(torch.ones(1, device=device))]
    if not all(fine):
        ranks = ", ".join(str(rank) for rank, flag in enumerate(fine) if not flag)
        raise UsageError(f"the process with rank {ranks} has failed; see its own error")


def _in_group() -> bool:
    return dist.is_available() and dist.is_initialized()
