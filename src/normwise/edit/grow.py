"""Add units to a network."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from normwise.edit.fitting import Fit, SampleLoss
from normwise.edit.given import check_network
from normwise.edit.log import remember
from normwise.edit.optimizing import check_optimizer
from normwise.edit.units import (
    Group,
    Nodes,
    Proof,
    Resizing,
    Snapshot,
    check_shapes,
    chosen,
    find_units,
    none_left,
    told,
)
from normwise.errors import Problems, UsageError
from normwise.trace import Call
from normwise.trace.matching import Where

Changes = list[tuple[Group, Nodes]]


def grow(
    network: nn.Module,
    example: Any,
    units: float,
    *,
    where: Where | None = None,
    noise: float | None = None,
    fit: tuple[Any, Tensor] | None = None,
    loss: SampleLoss | None = None,
    worst: float = 0.1,
    steps: int = 100,
    lr: float = 0.01,
    optimizer: Optimizer | None = None,
    seed: int = 0,
) -> nn.Module:
    """Add units to hidden layers, without a change to what the network computes, or to good end.

    What a unit is, and which layers are left alone, is as for `prune`, and proved in the same way.

    *Widening* (the default) adds copies of units drawn at random; a unit and its copies share the
    weights that read it: if it is there $k$ times, each is read with $1/k$ of the weight, so that
    the network computes the same in both modes (Chen et al., *Net2Net*, 2016, eq. 5), dropout
    aside. Copies get equal gradients and stay equal, unless dropout tells them apart or `noise`
    does: then the weights that make a copy are not exactly those of its original.

    *Fitting* (with `fit`) adds units that nothing reads at first, and trains them, and what reads
    them, on the samples with the largest loss, in evaluation mode, by Adam, while all else is
    fixed. Then what reads them is halved until the mean loss of all samples is no larger than
    before, or is zero.

    Args:
        network: changed in place; left as it was if anything is refused or raises.
        example: a batch of at least two inputs: a tensor, or a tuple or dict of arguments.
        units: how many to add to each layer, or, if below 1, their share of those there are.
        where: which layers: a pattern of names such as `encoder.*`, several, or a predicate of
            path and module. Default: all.
        noise: standard deviation of what is added to the weights that make a copy, relative to
            that of the whole weight. Default: 0, with `fit` 1
        fit: inputs, as `example`, and targets to train the new units on.
        loss: called with outputs and targets, returns one loss per sample, as
            `nn.CrossEntropyLoss(reduction="none")` does; for `fit`.
        worst: the share of the samples to train on. Default: 0.1
        steps: of Adam. Default: 100
        lr: its learning rate. Default: 0.01
        optimizer: its momentum and averages follow: a copy with a share of its unit has that share
            of the gradient.
        seed: of which units are copied, and of the noise.

    Returns:
        The network.

    Raises:
        UsageError: an argument is out of range, the network does not run on the example, or no
            layer can grow.

    Example:
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
        >>> x = torch.randn(16, 4)
        >>> before = net.eval()(x)
        >>> net = grow(net, x, 4)
        >>> net[0], torch.allclose(net(x), before, atol=1e-6)
        (Linear(in_features=4, out_features=12, bias=True), True)
    """
    check_network(network)
    problems = Problems()
    _check(problems, units, noise, fit, loss, worst)
    check_optimizer(optimizer, network, problems)
    check_shapes(network, problems)
    problems.raise_if_any()
    arguments, start = Call.of(example), Snapshot(network, optimizer)
    try:
        changes, left = _plan(network, arguments, units, where, seed)
        fitting = Fit(network, fit, loss, worst) if fit is not None and loss is not None else None
        resizing = Resizing(network, changes, split=fit is None)
        resizing.apply()
        cleared = resizing.follow(optimizer)
        _perturb(network, resizing, float(fit is not None) if noise is None else noise, seed)
        how = "copies" if fitting is None else fitting.train(resizing, steps, lr)
    except BaseException:
        start.restore()
        raise
    groups, counts = [g for g, _ in changes], [int(copies.sum()) for _, copies in changes]
    remember(network, told(f"grow {units}", groups, counts, how, left, cleared))
    return network


def _check(
    problems: Problems,
    units: float,
    noise: float | None,
    fit: tuple[Any, Tensor] | None,
    loss: SampleLoss | None,
    worst: float,
) -> None:
    if units <= 0 or (units >= 1 and units != int(units)):
        problems.add(f"units={units}: give a whole number to add, or a share between 0 and 1")
    if noise is not None and noise < 0:
        problems.add(f"noise={noise}: a standard deviation is not negative")
    if (fit is None) != (loss is None):
        problems.add("fit and loss go together: samples, and a function that gives each one's loss")
    if fit is not None and not (isinstance(fit, Sequence) and len(fit) == 2):
        problems.add("fit is a pair: inputs and targets")
    if not 0 < worst <= 1:
        problems.add(f"worst={worst}: the share of samples to train on lies above 0 and up to 1")


def _plan(
    network: nn.Module,
    example: Call,
    units: float,
    where: Where | None,
    seed: int,
) -> tuple[Changes, dict[str, str]]:
    """Return how often each unit is to be there, and why other layers are left alone."""
    groups, left = chosen(network, find_units(network, example), where)
    draws = np.random.default_rng(seed)
    planned = [(group, _copies(len(group), units, draws)) for group in groups]
    proof, changes = Proof(network, example), Changes()
    for change, fault in zip(planned, proof.copying_faults(planned), strict=True):
        if fault is None:
            changes.append(change)
        else:
            left |= dict.fromkeys(change[0].makers, fault)
    if not changes:
        raise none_left(left)
    if len(changes) < len(planned) and (fault := proof.copying_fault(changes)):
        raise UsageError(f"the network cannot grow: {fault}. With `where`, choose fewer layers")
    return changes, left


def _copies(count: int, units: float, draws: np.random.Generator) -> Nodes:
    new = int(units) if units >= 1 else max(1, round(units * count))
    return 1 + np.bincount(draws.integers(count, size=new), minlength=count)


@torch.no_grad()
def _perturb(network: nn.Module, resizing: Resizing, noise: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for name, where in resizing.copied(reading=False).items():
        weight = network.get_parameter(name)
        if noise and weight.ndim > 1:
            drawn = torch.randn(weight.shape, generator=generator).to(weight)
            weight += noise * weight.std() * drawn * where
