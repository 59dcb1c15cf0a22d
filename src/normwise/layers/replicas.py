"""Statistics that several processes share, by the one collective that every backend has."""

import torch
import torch.distributed as dist
from torch import Tensor

from normwise.layers.moments import Moments, pool


def over_replicas(mine: Moments, group: "dist.ProcessGroup") -> Moments:
    """Return the moments of all replicas together.

    Everybody writes into a row of his own of one tensor of zeros, which is then summed up: one
    collective.
    """
    rows = torch.zeros(dist.get_world_size(group), 3, *mine.mean.shape).to(mine.mean)
    rows[dist.get_rank(group)] = torch.stack([mine.mean, mine.var, mine.counts])
    dist.all_reduce(rows, group=group)
    return pool(Moments(*rows.unbind(1)))


def total_of_replicas(sums: Tensor, group: "dist.ProcessGroup") -> Tensor:
    """Return the sum over the replicas, which can be differentiated again."""
    from torch.distributed.nn.functional import all_reduce  # not in every build of torch

    return all_reduce(sums, group=group)
