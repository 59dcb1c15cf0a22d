"""What is known of a live network: everything that rules may ask for."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from normwise.evidence.batches import Batches
from normwise.evidence.broadcasts import Broadcast
from normwise.evidence.graph import Graph
from normwise.evidence.level import Level
from normwise.evidence.losses import Loss
from normwise.evidence.module import Activation, Module
from normwise.evidence.optimizers import Optimizer
from normwise.evidence.parameters import Parameter
from normwise.evidence.passes import Passes
from normwise.evidence.series import EMPTY, Series


@dataclass(frozen=True, eq=False)
class Evidence:
    """What was measured; read-only, and of constant size however long the training.

    Attributes:
        level: how deep it goes.
        modules: by path, in the order of `named_modules()`; behind `name.` for several networks.
        activations: by path, each place where an activation is called.
        parameters: by name; each tensor once, under its first name.
        optimizers: that have stepped or were given.
        losses: calls of torch's losses, by place.
        objective: the values on which `backward` was called.
        broadcasts: sums and comparisons of (N, 1) with (N,).
        passes: forward passes of the networks, by mode.
        batches: one for each network that was given tensors.
        leak: by how much, relative to its size, the output for a sample in evaluation mode depends
            on the others in the batch; None where that was not tried.
        graph: the calls of one measured step; None where no function calls could be seen.
        steps: optimizer steps in all.
        measured: those of them that were measured.
        notes: what could not be measured, and why.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from normwise.evidence import probe
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        >>> batch = torch.randn(32, 4), torch.randint(0, 3, (32,))
        >>> evidence = probe(net, [batch], nn.functional.cross_entropy)
        >>> evidence.level.name, [loss.name for loss in evidence.losses]
        ('BACKWARD', ['cross_entropy'])
    """

    level: Level
    modules: Mapping[str, Module] = field(default_factory=dict)
    activations: Mapping[str, Activation] = field(default_factory=dict)
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    optimizers: tuple[Optimizer, ...] = ()
    losses: tuple[Loss, ...] = ()
    objective: Series = EMPTY
    broadcasts: tuple[Broadcast, ...] = ()
    passes: tuple[Passes, ...] = ()
    batches: tuple[Batches, ...] = ()
    leak: float | None = None
    graph: Graph | None = None
    steps: int = 0
    measured: int = 0
    notes: tuple[str, ...] = ()
