"""Freeze norms: what they have learnt and measured stays as it is, in training too."""

import functools
from typing import Any

from torch import nn

from normwise.edit.editing import editing
from normwise.edit.given import check_network
from normwise.edit.hosting import guests
from normwise.edit.log import Edit
from normwise.edit.making import short
from normwise.errors import Problems, UsageError
from normwise.trace.functions import NORM_TYPES
from normwise.trace.matching import Where, matching


def freeze_norm(
    network: nn.Module, *, affine: bool = True, where: Where | None = None
) -> nn.Module:
    """Fix every norm's running statistics, and its scale and shift with them.

    A frozen norm with running statistics uses them in training as in evaluation, and `train()` no
    longer reaches it: the usual way to fine-tune on small batches. Frozen scales and shifts get no
    gradient, so that optimizers pass them over. It works for norms of all ranks; one without
    running statistics has only its scale and shift frozen. Parameters, state dict, hooks and the
    module itself stay; its class becomes one derived from its own, such as `FrozenBatchNorm2d`.

    Args:
        network: changed in place; left as it was if anything is refused.
        affine: False lets scale and shift go on learning.
        where: only norms whose path matches this pattern (`encoder.*`) or one of these, or for
            which this predicate of path and module holds.

    Returns:
        The network.

    Raises:
        UsageError: there is no norm to freeze, or a batch norm has no running statistics.

    Example:
        >>> import torch
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU())
        >>> net = freeze_norm(net).train()
        >>> type(net[1]).__name__, net[1].training
        ('FrozenBatchNorm1d', False)
        >>> torch.equal(net(torch.ones(2, 4))[0], net(torch.ones(1, 4))[0])
        True
    """
    check_network(network)
    norms = _chosen(network, where)
    problems = Problems()
    problems.add(*(_unready(path, norm) for path, norm in norms.items() if not _ready(norm)))
    problems.raise_if_any()
    names = {path: _fixed(norm, affine) for path, norm in norms.items()}
    if not any(names.values()):
        raise UsageError(
            "there is nothing to freeze: no norm chosen has running statistics"
            + (", scale or shift" if affine else ", and affine=False leaves the rest free")
        )
    with editing(network) as made:
        for path, norm in norms.items():
            if names[path]:
                made.append(Edit("freeze_norm", path, f"{short(norm)}: {names[path]} frozen"))
                _freeze(norm, affine)
    return network


def unfreeze_norm(network: nn.Module, *, where: Where | None = None) -> nn.Module:
    """Undo `freeze_norm`: norms follow `train()` again, and their scale and shift learn.

    Parameters that did not learn before they were frozen stay without gradient.

    Args:
        network: changed in place; the norms take its mode.
        where: only norms whose path matches this pattern or one of these, or for which this
            predicate of path and module holds.

    Returns:
        The network.

    Raises:
        UsageError: no frozen norm is there, or none is chosen.

    Example:
        >>> net = freeze_norm(nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8)))
        >>> net = unfreeze_norm(net)
        >>> type(net[1]).__name__, net[1].training, net[1].weight.requires_grad
        ('BatchNorm1d', True, True)
    """
    check_network(network)
    frozen = {path: norm for path, norm in network.named_modules() if is_frozen(norm)}
    if not frozen:
        raise UsageError("no norm of this network is frozen by freeze_norm")
    with editing(network) as made:
        for path in matching(where, network, frozen, "frozen norm"):
            _thaw(frozen[path], network.training)
            made.append(Edit("unfreeze_norm", path, f"{short(frozen[path])}: no longer frozen"))
    return network


def is_frozen(norm: nn.Module) -> bool:
    """Whether `freeze_norm` has frozen a module."""
    return "_thawed" in vars(type(norm))


def _chosen(network: nn.Module, where: Where | None) -> dict[str, nn.Module]:
    norms = {path: m for path, m in network.named_modules() if isinstance(m, NORM_TYPES)}
    if not norms:
        raise UsageError("this network has no norm that is a module, so there is none to freeze")
    return {path: norms[path] for path in matching(where, network, norms, "norm")}


def _ready(norm: nn.Module) -> bool:
    lazy = any(map(nn.parameter.is_lazy, (*norm.parameters(), *norm.buffers())))
    batch = isinstance(norm, nn.modules.batchnorm._BatchNorm)
    return not lazy and not (batch and norm.running_mean is None)


def _unready(path: str, norm: nn.Module) -> str:
    if any(map(nn.parameter.is_lazy, norm.parameters())):
        return f"{path or 'it'} is lazy and has no values yet: run the network on one batch first"
    return (
        f"{path or 'it'} is a {short(norm)} without running statistics, which always uses those of "
        "the batch and cannot be frozen: make it with track_running_stats=True, or leave it out by "
        "where="
    )


def _fixed(norm: nn.Module, affine: bool) -> str:
    """Return what freezing fixes in a norm; nothing where it has nothing to fix."""
    statistics = getattr(norm, "running_mean", None) is not None
    names = [name for name, _ in norm.named_parameters(recurse=False)] if affine else []
    return ", ".join([*(["running statistics"] if statistics else []), *names])


def _freeze(norm: nn.Module, affine: bool) -> None:
    if not is_frozen(norm):
        norm.__class__ = _frozen(type(norm))
        vars(norm)["learning"] = ()
    norm.train(norm.training)
    for name, parameter in norm.named_parameters(recurse=False):
        if affine and parameter.requires_grad:
            parameter.requires_grad_(False)
            parameter.grad = None  # with one an optimizer would go on to move it
            vars(norm)["learning"] += (name,)


def _thaw(norm: nn.Module, training: bool) -> None:
    for name in vars(norm).pop("learning"):
        norm.get_parameter(name).requires_grad_(True)
    norm.__class__ = vars(type(norm))["_thawed"]
    norm.train(training)


@functools.cache
def _frozen(base: type[nn.Module]) -> type[nn.Module]:
    """Return the class of a norm that is always in evaluation mode."""

    def train(self: nn.Module, mode: bool = True) -> nn.Module:
        base.train(self, False)
        for guest in guests(self).values():  # such as the dropout of a residual branch
            guest.train(mode)
        return self

    def reduce(self: nn.Module, protocol: Any) -> tuple[Any, ...]:
        # Pickle finds a class by its name, and this one is made here.
        return (_revive, (base,), *base.__reduce_ex__(self, protocol)[2:])

    members = {"train": train, "__reduce_ex__": reduce, "_thawed": base}
    # torch's tools take what lies in torch.nn for a whole, so it stays there.
    return type(f"Frozen{base.__name__}", (base,), members | {"__module__": base.__module__})


def _revive(base: type[nn.Module]) -> nn.Module:
    kind = _frozen(base)
    return kind.__new__(kind)
