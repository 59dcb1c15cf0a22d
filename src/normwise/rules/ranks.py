"""What the processes of one distributed training have found, told by the first of them."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from normwise.rules.finding import Findings

_PATIENCE = timedelta(seconds=60)  # for each process that ends later than the first
_KEY = "normwise/findings"
_FIRST_PORT, _PORTS = 20_000, 10_000  # of which a job of Slurm's takes one


@dataclass(frozen=True)
class _Meeting:
    """Where the processes of a training meet.

    Attributes:
        rank: of this process.
        size: how many there are.
        address: of the store, with `port`.
        port: of the store.
        hosted: whether the process of rank 0 has to make the store.
        attempt: a script that is started anew tells anew.
    """

    rank: int
    size: int
    address: str
    port: int
    hosted: bool
    attempt: str = "0"

    def store(self) -> Any:
        """Return the store.

        Raises:
            RuntimeError: it cannot be reached, or made.
        """
        from torch.distributed import (
            PrefixStore,  # pyright: ignore[reportPrivateImportUsage]
            TCPStore,  # pyright: ignore[reportPrivateImportUsage]
        )

        made = TCPStore(
            self.address,
            self.port,
            is_master=self.hosted and self.rank == 0,
            wait_for_workers=False,
            timeout=_PATIENCE,
        )
        return PrefixStore(self.attempt, made)


def gather(findings: Findings) -> Findings | None:
    """Merge the findings of all processes that `torchrun` or `srun` has started; call it in each.

    Under torchrun they meet in its own store, which outlives the script's process group; under
    Slurm's srun in one that the process of rank 0 makes: on `MASTER_ADDR`, or on this machine if
    all of them run on it. Where neither is known, each process tells what it has found itself.

    Returns:
        In the process of rank 0, and in a program of one process, the findings of all; in the
        others None, or their own where the first cannot be reached.

    Example:
        >>> gather(Findings(clean=["NRM101"])).clean  # not started by torchrun or srun
        ['NRM101']
    """
    meeting = _meeting(os.environ)
    if meeting is None or meeting.size == 1:
        return findings
    try:
        store = meeting.store()
        if meeting.rank:
            store.set(f"{_KEY}/{meeting.rank}", json.dumps(findings.to_dict()))
            return None
    except RuntimeError:  # which torch raises when the time is over, or a port is taken
        note = f"the processes did not meet; these are the findings of rank {meeting.rank} only"
        return findings.merged(Findings(notes=(note,)))
    return findings.merged(*(_of(store, other) for other in range(1, meeting.size)))


def _meeting(environment: Mapping[str, str]) -> _Meeting | None:
    env = environment
    if env.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        rank, size, port = (int(env[name]) for name in ("RANK", "WORLD_SIZE", "MASTER_PORT"))
        attempt = env.get("TORCHELASTIC_RESTART_COUNT", "0")
        return _Meeting(rank, size, env["MASTER_ADDR"], port, hosted=False, attempt=attempt)
    if not {"SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_JOB_ID"} <= env.keys():
        return None  # a batch script of several tasks has all but the second, and runs once
    here = "127.0.0.1" if env.get("SLURM_STEP_NUM_NODES") == "1" else ""
    address = env.get("MASTER_ADDR") or here
    if not address:
        return None
    step = 100 * int(env["SLURM_JOB_ID"]) + int(env.get("SLURM_STEP_ID", "0"))
    rank, size = (int(env[name]) for name in ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"))
    return _Meeting(rank, size, address, _FIRST_PORT + step % _PORTS, hosted=True)


def _of(store: Any, rank: int) -> Findings:
    try:
        return Findings.from_dict(json.loads(store.get(f"{_KEY}/{rank}")))
    except RuntimeError:  # which torch raises when the time is over
        return Findings(notes=(f"nothing was heard of rank {rank}",))
