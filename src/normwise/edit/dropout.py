"""Insert dropout after every hidden activation, or before the first layers."""

from typing import Any

from torch import nn

from normwise.edit.dropout_kinds import DROPOUTS, check_p
from normwise.edit.editing import editing, traced
from normwise.edit.given import check_network
from normwise.edit.hosting import guests, host_after, host_before
from normwise.edit.log import Edit
from normwise.edit.making import short
from normwise.edit.own import Ownership
from normwise.edit.placing import label, path_of
from normwise.edit.swapping import swap
from normwise.errors import Problems, UsageError, suggest
from normwise.layers import is_dropout
from normwise.trace import FUNCTION, Activation, Call, Layer, Trace
from normwise.trace.matching import Where, matching


def insert_dropout(
    network: nn.Module,
    p: float,
    example: Any,
    *,
    kind: str = "dropout",
    where: Where | None = None,
) -> nn.Module:
    """Zero the outputs of every hidden activation with probability `p` in training.

    Which activations those are is found by following one forward pass on `example`; the head is
    left alone. Where dropout follows an activation already, it gets this `p`. Kept values are
    divided by `1 - p`, so the expected output is the same in training and evaluation (Srivastava
    et al. 2014; `nn.Dropout`). `edits` tells what was done where.

    Another `kind` takes the place of the dropout that is there. Those that need a shape stand
    behind the activations that have it:

    ================== =============================== ==========================================
    kind               layer                           behind activations of shape
    ================== =============================== ==========================================
    dropout            `nn.Dropout`                    any
    gaussian-dropout   `layers.GaussianDropout`        any
    uout               `layers.Uout`                   any
    concrete-dropout   `layers.ConcreteDropout`        any
    locked-dropout     `layers.LockedDropout`          (N, L, C), features last
    dropblock          `layers.DropBlock2d`            (N, C, H, W)
    ================== =============================== ==========================================

    Args:
        network: changed in place; left as it was if anything is refused.
        p: probability of an element to be zeroed, in [0, 1); or what the layer means by it.
        example: a batch of at least two inputs: a tensor, or a tuple or dict of arguments.
        kind: a word of this table.
        where: only the activations fed by layers whose path matches this pattern (`encoder.*`) or
            one of these, or for which this predicate of path and module holds. A layer chosen in
            this way that feeds no activation, such as a projection, gets dropout on its output.

    Returns:
        The network.

    Raises:
        UsageError: `p` is out of range, the kind is unknown, there is no hidden activation of a
            shape that fits, one is called as a function
            in a forward that cannot be traced, or the network does not run on the example.

    Example:
        >>> import torch
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        >>> insert_dropout(net, 0.2, torch.randn(2, 4))[1]
        ReLU(
          (dropout): Dropout(p=0.2, inplace=False)
        )
    """
    check_network(network)
    if kind not in DROPOUTS:
        raise UsageError(
            f"unknown dropout {kind!r}{suggest(kind, DROPOUTS)}: use one of {', '.join(DROPOUTS)}"
        )
    check_p(kind, p)
    found = traced(network, example)
    if where is None and not found.activations:
        other = (
            "input-dropout would work"
            if _on_input(found, example)
            else "put an nn.Dropout where it is wanted"
        )
        raise UsageError(
            f"no place for {kind}={p}: in this network no layer feeds an activation and then "
            f"another layer; {other}"
        )
    activations, layers = _choose(network, found, where, kind)
    problems = Problems()
    problems.add(*(_fixed(a) for a in activations if a.dropout == FUNCTION))
    bare = [activation for activation in activations if activation.dropout is None]
    own = Ownership(network, found, bare, example, problems)
    problems.raise_if_any()
    with editing(network, example) as made:
        for activation, host in zip(bare, own.commit(), strict=True):
            made.append(_host(network, host, kind, p, label(activation)))
        for layer in layers:
            made.append(_host(network, layer.module, kind, p, "its output"))
        for path in dict.fromkeys(a.dropout for a in activations if a.dropout is not None):
            made.append(_set(network, path, kind, p))
    return network


def insert_input_dropout(network: nn.Module, p: float, example: Any) -> nn.Module:
    """Zero the inputs of the network's first layers with probability `p` in training.

    Args:
        network: changed in place; left as it was if anything is refused.
        p: probability of an element to be zeroed, in [0, 1).
        example: a batch of at least two inputs: a tensor, or a tuple or dict of arguments.

    Returns:
        The network.

    Raises:
        UsageError: `p` is out of range, or no Linear or convolution sees a floating-point input.

    Example:
        >>> import torch
        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
        >>> insert_input_dropout(net, 0.1, torch.randn(2, 4))[1].input_dropout
        Dropout(p=0.1, inplace=False)
    """
    check_network(network)
    check_p("input-dropout", p)
    first = _on_input(traced(network, example), example)
    if not first:
        dtypes = [tensor.dtype for tensor in Call.of(example).tensors]
        raise UsageError(
            f"no place for input-dropout={p}: no Linear or convolution of this network sees the "
            f"input ({', '.join(map(str, dtypes))}) as floating-point values; dropout=P would "
            "work where there are hidden activations"
        )
    with editing(network, example) as made:
        for layer in first:
            host_before(layer.module, "input_dropout", nn.Dropout(p))
            done = f"Dropout(p={p}) on its input"
            made.append(Edit(f"insert_input_dropout p={p}", layer.path, done))
    return network


def _choose(
    network: nn.Module, found: Trace, where: Where | None, kind: str
) -> tuple[list[Activation], list[Layer]]:
    """Return the activations that are meant, and the layers that are meant and feed none."""
    activations, layers = _meant(network, found, where)
    fitting = [a for a in activations if DROPOUTS[kind].fits(a)]
    bare = [layer for layer in layers if DROPOUTS[kind].fits(layer)]
    if not fitting and not bare:
        shapes = ", ".join(str(each.shape) for each in (*activations, *layers))
        raise UsageError(
            f"no place for {kind}: it needs {DROPOUTS[kind].needs} and here the shapes are "
            f"{shapes}; dropout=P would work"
        )
    return fitting, bare


def _meant(
    network: nn.Module, found: Trace, where: Where | None
) -> tuple[list[Activation], list[Layer]]:
    layers = {path: layer.module for path, layer in found.layers.items()}
    if where is None:
        return list(found.places), []
    chosen = matching(where, network, layers, "Linear or convolution")
    activations = [a for a in found.places if set(chosen) & set(a.layers)]
    fed = {path for activation in activations for path in activation.layers}
    return activations, [found.layers[path] for path in chosen if path not in fed]


def _on_input(found: Trace, example: Any) -> list[Layer]:
    """The layers whose input may be dropped."""
    if not any(tensor.is_floating_point() for tensor in Call.of(example).tensors):
        return []
    return [layer for layer in found.layers.values() if layer.first]


def _host(network: nn.Module, host: nn.Module, kind: str, p: float, place: str) -> Edit:
    present = [guest for guest in guests(host).values() if is_dropout(guest)]
    if present:  # behind a layer that feeds no activation, where no trace looks
        return _set(network, path_of(network, present[0]), kind, p)
    dropout = _made(network, kind, p)
    host_after(host, "dropout", dropout)
    return Edit(_named(kind, p), path_of(network, host), f"{short(dropout)} on {place}")


def _set(network: nn.Module, path: str, kind: str, p: float) -> Edit:
    """Give a dropout its p, or let one of the kind that is asked for take its place."""
    present = network.get_submodule(path)
    if kind == "dropout" and "p" in vars(present):
        former = vars(present)["p"]
        vars(present)["p"] = p
        return Edit(_named(kind, p), path, f"p={p}, which was {former}")
    dropout = _made(network, kind, p)
    swap(network, present, dropout)
    return Edit(_named(kind, p), path, f"{short(dropout)} in the place of {short(present)}")


def _made(network: nn.Module, kind: str, p: float) -> nn.Module:
    like = next(network.parameters())
    dtype = like.dtype if like.is_floating_point() else None  # complex weights are no dropout's
    return DROPOUTS[kind].make(p).to(like.device, dtype)


def _named(kind: str, p: float) -> str:
    return f"insert_dropout p={p}" if kind == "dropout" else f"insert_dropout {kind} p={p}"


def _fixed(activation: Activation) -> str:
    return (
        f"the {activation.name} after {', '.join(activation.layers)} is followed by a dropout that "
        "is called as a function, whose p cannot be set: make it an nn.Dropout, or pass your "
        "changed network as a variant"
    )
