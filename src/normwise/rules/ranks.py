"""What the processes of one distributed training have found, told by the first of them."""

import json
import os
from datetime import timedelta
from typing import Any

from normwise.rules.finding import Findings

_PATIENCE = timedelta(seconds=60)  # for each process that ends later than the first
_KEY = "normwise/findings"


def gather(findings: Findings) -> Findings | None:
    """Merge the findings of all processes that `torchrun` has started; call it in each.

    They meet in the store of torchrun itself, which outlives the script's own process group.

    Returns:
        In the process of rank 0, and in a program of one process, the findings of all; in the
        others None.

    Example:
        >>> gather(Findings(clean=["NRM101"])).clean  # not started by torchrun
        ['NRM101']
    """
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return findings
    rank, size = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE"))
    if size == 1:
        return findings
    store = _store()
    if rank:
        store.set(f"{_KEY}/{rank}", json.dumps(findings.to_dict()))
        return None
    return findings.merged(*(_of(store, other) for other in range(1, size)))


def _store() -> Any:
    from torch.distributed import (
        PrefixStore,  # pyright: ignore[reportPrivateImportUsage]
        TCPStore,  # pyright: ignore[reportPrivateImportUsage]
    )

    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")  # a restarted script tells anew
    return PrefixStore(attempt, TCPStore(address, port, is_master=False, timeout=_PATIENCE))


def _of(store: Any, rank: int) -> Findings:
    try:
        return Findings.from_dict(json.loads(store.get(f"{_KEY}/{rank}")))
    except RuntimeError:  # which torch raises when the time is over
        return Findings(notes=(f"nothing was heard of rank {rank}",))
