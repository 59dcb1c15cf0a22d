"""Replace the norms of one kind by norms of another, and keep what they have learnt."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.optim import Optimizer

from normwise.edit.carrying import carry
from normwise.edit.editing import editing
from normwise.edit.freeze_norm import is_frozen
from normwise.edit.given import check_network
from normwise.edit.log import Edit
from normwise.edit.making import Maker, short
from normwise.edit.optimizing import check_optimizer
from normwise.edit.placing import drop_biases
from normwise.edit.seeing import Sight
from normwise.edit.swapping import swap
from normwise.errors import Problems, UsageError, suggest
from normwise.trace.matching import Where, matching

_KINDS: dict[str, type[nn.Module]] = {
    "batch": nn.modules.batchnorm._BatchNorm,
    "layer": nn.LayerNorm,
    "group": nn.GroupNorm,
    "instance": nn.modules.instancenorm._InstanceNorm,
    "rms": nn.RMSNorm,
}
_BY_AXES: dict[str, Callable[..., nn.Module]] = {"layer": nn.LayerNorm, "rms": nn.RMSNorm}
_MOST_GROUPS = 32


def replace_norm(
    network: nn.Module,
    former: str,
    norm: str,
    example: Any = None,
    *,
    num_groups: int | None = None,
    where: Where | None = None,
    optimizer: Optimizer | None = None,
) -> nn.Module:
    """Put norms of another kind in the place of those that are there.

    Each new norm is the one that `insert_norm` would make for the shape that is normalised there
    (between `LayerNorm` and `RMSNorm`, the one over the same axes). Scale and shift are carried
    over, as are eps, device, dtype, mode and hooks; the name in the network stays. What cannot be
    kept, such as running statistics in a norm that has none, is told by `edits`. The network
    computes something else from then on: train or `recalibrate` it.

    Args:
        network: changed in place; left as it was if anything is refused.
        former: which norms go: `batch`, `layer` (also a `GroupNorm` with one group), `group`,
            `instance` or `rms`; classes derived from torch's count as theirs.
        norm: what comes: one of the same words.
        example: a batch of at least two inputs (a tensor, or a tuple or dict of arguments), from
            which shapes are learnt, and on which the new network is tried. It is needed where a
            norm does not tell the rank of its input, for instance to replace a `GroupNorm` by a
            batch norm. With it, biases are dropped that the new norm would subtract again.
        num_groups: for `group`: into how many groups the channels are divided. Default: the
            greatest divisor up to 32 that leaves at least two channels in a group (Wu & He 2018
            found 32 groups, or 16 channels in each, to work well).
        where: only norms whose path matches this pattern (`encoder.*`) or one of these, or for
            which this predicate of path and module holds.
        optimizer: keeps its state for the scales and shifts that stay, lets those go that go, and
            takes new ones into the group of the former.

    Returns:
        The network.

    Raises:
        UsageError: a word is unknown, there is no such norm, or a place can have no such norm;
            every such place is named, with what would work.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
        >>> scale = net[1].weight
        >>> norm = replace_norm(net, "batch", "group")[1]
        >>> norm.num_groups, norm.num_channels, norm.weight is scale
        (4, 8, True)
    """
    check_network(network)
    problems = Problems()
    _check_words(former, norm, num_groups, problems)
    check_optimizer(optimizer, network, problems)
    problems.raise_if_any()
    norms = _chosen(network, former, where)
    sight = Sight(network, norms, example)
    plans: list[_Plan] = []
    for path, module in norms.items():
        with problems.collect():
            plans.append(_plan(path, module, norm, num_groups, sight))
    problems.raise_if_any()
    with editing(network, example, optimizer) as made:
        for plan in plans:
            dropped = drop_biases(sight.trace, plan.useless) if sight.trace else ""
            swap(network, plan.former, plan.successor)
            done = f"{short(plan.successor)} in the place of {short(plan.former)}"
            note = "; ".join(filter(None, (plan.note, dropped)))
            made.append(Edit(f"replace_norm {former} by {norm}", plan.path, done, note))
    return network


@dataclass(frozen=True)
class _Plan:
    path: str
    former: nn.Module
    successor: nn.Module
    note: str
    useless: tuple[str, ...] = ()  # layers whose biases it would undo


def _plan(path: str, module: nn.Module, norm: str, num_groups: int | None, sight: Sight) -> _Plan:
    if is_frozen(module):
        raise UsageError(f"{path} is frozen, and would learn again: unfreeze_norm it first")
    if any(map(nn.parameter.is_lazy, (*module.parameters(), *module.buffers()))):
        raise UsageError(f"{path} is lazy and has no values yet: run the network on a batch first")
    if norm in _BY_AXES and type(module) in _BY_AXES.values():  # whatever these axes are
        like = next(module.parameters(), None)
        successor = _BY_AXES[norm](module.normalized_shape)
        successor = successor if like is None else successor.to(like.device, like.dtype)
        return _Plan(path, module, *carry(module, successor))
    place = sight.place(path, module, norm)
    make = Maker(norm, num_groups or _groups(place.units))
    known = sight.trace.norms.get(path) if sight.trace else None
    useless = known.absorbs if known and make.undoes_bias(place) else ()
    return _Plan(path, module, *carry(module, make(place)), useless)


def _groups(units: int) -> int:
    """Return the greatest number of groups that leaves at least two channels in each."""
    most = max(1, min(_MOST_GROUPS, units // 2))
    return max(groups for groups in range(1, most + 1) if units % groups == 0)


def _check_words(former: str, norm: str, num_groups: int | None, problems: Problems) -> None:
    for word in (former, norm):
        if word not in _KINDS:
            near = suggest(word, _KINDS)
            problems.add(f"unknown norm {word!r}{near}: use one of {', '.join(_KINDS)}")
    if former == norm and norm != "group":
        problems.add(f"replace_norm {former} by {norm}: they are the same")
    if num_groups is not None and num_groups < 1:
        problems.add(f"num_groups={num_groups}: a group norm needs at least one group")


def _chosen(network: nn.Module, former: str, where: Where | None) -> dict[str, nn.Module]:
    norms = {path: m for path, m in network.named_modules() if _is(m, former)}
    if not norms:
        present = [kind for kind in _KINDS if any(_is(m, kind) for m in network.modules())]
        there = f"it has {', '.join(present)}" if present else "it has none that is a module"
        raise UsageError(f"this network has no {former} norm to replace: {there}")
    if "" in norms:
        raise UsageError(
            f"the network is itself a {short(network)}, which has no place in another module: make "
            "the norm that you want"
        )
    return {path: norms[path] for path in matching(where, network, norms, f"{former} norm")}


def _is(module: nn.Module, kind: str) -> bool:
    one_group = isinstance(module, nn.GroupNorm) and module.num_groups == 1
    return isinstance(module, _KINDS[kind]) or (kind == "layer" and one_group)
