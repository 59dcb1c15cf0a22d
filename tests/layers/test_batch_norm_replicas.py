"""Statistics that several processes share, against one process that has the whole batch."""

import copy
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch import multiprocessing as mp
from torch.testing import assert_close

from normwise.layers import BatchNorm1d

SHARES = [4, 1, 0, 3]
C, L = 3, 2
CASES: list[dict[str, Any]] = [{}, {"accumulate": 2}, {"r_max": 1.5, "d_max": 0.4}]


def batch(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return inputs, the gradients of the outputs, and a mask."""
    generator = torch.Generator().manual_seed(seed)
    x, g = (torch.randn(sum(SHARES), C, L, generator=generator).double() for _ in range(2))
    return 2 + seed * x, g, torch.rand(sum(SHARES), L, generator=generator) < 0.7


def steps(norm: Any, masked: bool, rank: int | None) -> list[Tensor]:
    """Train for two steps, on one share or on all, and return all that came of it."""
    found = []
    for seed in (1, 2):
        x, g, mask = (t if rank is None else t.split(SHARES)[rank] for t in batch(seed))
        x = x.clone().requires_grad_()
        y = norm(x, mask if masked else None)
        (dx,) = torch.autograd.grad(y, x, g, create_graph=True)
        (ddx,) = torch.autograd.grad((dx * g.cos()).sum(), x, retain_graph=True)
        grads = torch.autograd.grad(y, [norm.weight, norm.bias], g)
        found += [y, dx, ddx, *grads]
    return [t.detach() for t in [*found, *norm.buffers()]]


def replica(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=len(SHARES))
    found = []
    for options in CASES:
        for masked in (False, True):
            norm = BatchNorm1d(C, dtype=torch.float64, sync=True, **options)
            found.append(steps(copy.deepcopy(norm), masked, rank))
    torch.save(found, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_replicas_with_unequal_shares_are_one_process(tmp_path: Path):
    # Forked, since importing torch takes longer than all that they do.
    mp.start_processes(replica, (str(tmp_path),), len(SHARES), start_method="fork")
    replicas = [torch.load(tmp_path / f"{rank}.pt") for rank in range(len(SHARES))]
    cases = [(options, masked) for options in CASES for masked in (False, True)]
    for number, (options, masked) in enumerate(cases):
        alone = steps(BatchNorm1d(C, dtype=torch.float64, **options), masked, None)
        for place, expected in enumerate(alone):
            parts = [found[number][place] for found in replicas]
            if place < 10 and place % 5 < 3:  # outputs and gradients of inputs
                assert_close(torch.cat(parts), expected, rtol=1e-11, atol=1e-11)
            elif place < 10:  # gradients of parameters, which belong to one share
                assert_close(torch.stack(parts).sum(0), expected, rtol=1e-11, atol=1e-11)
            else:  # buffers, which all have
                for part in parts:
                    assert_close(part, expected, rtol=1e-12, atol=1e-12)


def test_without_other_processes_it_is_one():
    norm = BatchNorm1d(C, sync=True)
    x = torch.randn(4, C)
    assert_close(norm(x), BatchNorm1d(C)(x))
