"""Take every dropout out of a network."""

from collections.abc import Iterator
from typing import Any

from torch import nn

from normwise.edit.editing import editing, traced
from normwise.edit.given import check_network
from normwise.edit.hosting import dismiss, guests
from normwise.edit.log import Edit
from normwise.edit.making import short
from normwise.edit.probing import probe, same
from normwise.edit.removing import calls, rewrite_without
from normwise.edit.swapping import swap
from normwise.errors import Problems, UsageError
from normwise.layers import evaluation_factor, is_dropout
from normwise.trace.matching import Where, matching

_WITH_P = (nn.RNNBase, nn.MultiheadAttention)  # their `dropout` is a number


def remove_dropout(network: nn.Module, example: Any, *, where: Where | None = None) -> nn.Module:
    """Take dropout out of a network, so that it trains as it evaluates.

    Every kind goes: modules of `torch.nn` and `normwise.layers` (an `nn.Identity` takes their
    place; one that is never called, whose `p` a forward may read, gets a `p` of 0; what
    `insert_dropout` had put in leaves no trace), calls of torch's dropout functions and of
    attention with `dropout_p` (the forward that makes them is rewritten), and the `dropout` of
    recurrent layers and `nn.MultiheadAttention` (it becomes 0). The outputs in evaluation mode are
    compared before and after, bit for bit. `edits` tells what was done where.

    Args:
        network: changed in place; left as it was if anything is refused.
        example: a batch of at least two inputs: a tensor, or a tuple or dict of arguments.
        where: only modules whose path matches this pattern (`encoder.*`) or one of these, or for
            which this predicate of path and module holds; a dropout function counts with the module
            that calls it.

    Returns:
        The network.

    Raises:
        UsageError: there is no dropout, one changes the network's evaluation too, one is called in
            a forward that cannot be traced, or the network does not run on the example.

    Example:
        >>> import torch
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3))
        >>> remove_dropout(net, torch.randn(2, 4))[2]
        Identity()
    """
    check_network(network)
    traced(network, example)
    found = {p: m for p, m in network.named_modules() if is_dropout(m) or _has_p(m)}
    used, called = calls(network, example)
    candidates = {p: m for p, m in network.named_modules() if p in found or p in called}
    if not candidates:
        raise UsageError("this network has no dropout, neither as a module nor as a function")
    chosen = matching(where, network, candidates, "dropout")
    problems = Problems()
    problems.add(*(problem for path in chosen for problem in _refusals(network, path)))
    problems.raise_if_any()
    before = probe(network, example, modes=(False,))
    with editing(network, example) as made:
        for path in filter(found.__contains__, chosen):
            made.append(Edit("remove_dropout", path, _remove(network, path, path in used)))
        _, left = calls(network, example)
        for path in filter(left.__contains__, chosen):
            with problems.collect():
                rewrite_without(network, path, example)
                made.append(Edit("remove_dropout", path, _told(left[path])))
        problems.raise_if_any()
        if not same(before, probe(network, example, modes=(False,))):
            raise UsageError(
                f"without {', '.join(chosen)} the network would give other outputs in evaluation "
                "mode: one of them is no plain dropout. Leave it out by where="
            )
    return network


def _has_p(module: nn.Module) -> bool:
    return isinstance(module, _WITH_P) and module.dropout > 0


def _told(calls: int) -> str:
    return f"{calls} call{'s' if calls > 1 else ''} of dropout in its forward removed"


def _remove(network: nn.Module, path: str, used: bool) -> str:
    """Take out a module, or what it drops, and return what was done."""
    module = network.get_submodule(path)
    if _has_p(module):
        done = f"its dropout of {module.dropout} set to 0"
        vars(module)["dropout"] = 0.0
        return done
    name = short(module)
    if not used and "p" in vars(module):  # a forward that does not call it may read its p
        vars(module)["p"] = 0.0
        return f"p of {name} set to 0"
    hosts = [host for host in network.modules() if module in guests(host).values()]
    for host in hosts:
        for guest in [key for key, guest in guests(host).items() if guest is module]:
            dismiss(host, guest)
    if any(module is other for other in network.modules()):
        swap(network, module, nn.Identity())
    return f"{name} removed"


def _refusals(network: nn.Module, path: str) -> Iterator[str]:
    """Say why a dropout cannot go."""
    module = network.get_submodule(path)
    if not is_dropout(module):
        return
    if module is network:
        yield f"the network is itself a {short(module)}: give the network that holds it"
    if (factor := evaluation_factor(module)) != 1:
        yield (
            f"{path or 'it'} is a {short(module)} with classic scaling, which multiplies by "
            f"{factor:g} in evaluation: without it the network would give other outputs. Leave it "
            "out by where="
        )
