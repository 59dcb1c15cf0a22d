"""Insert a norm at every hidden layer, or put it in the place of the one that is there."""

from torch import Tensor, nn

from normwise.edit.hosting import host_after
from normwise.edit.making import Maker, Place
from normwise.edit.own import Ownership
from normwise.edit.swapping import swap
from normwise.errors import Problems, UsageError, suggest
from normwise.trace import FUNCTION, Activation, Layer, Norm, Trace, trace

NORMS = ("batch", "layer", "group", "instance", "rms")
PLACEMENTS = ("before", "after")


def insert_norm(
    network: nn.Module,
    norm: str,
    example: Tensor,
    *,
    num_groups: int | None = None,
    placement: str = "before",
) -> nn.Module:
    """Normalise every hidden layer: each Linear or convolution whose output feeds an activation.

    Which those are is found by following one forward pass on `example`; the head is left alone.
    Where a norm stands between a layer and its activation already, the new one takes its place;
    `after` the activation, it goes and a norm that follows the activation gives way to the new
    one. A bias is dropped exactly where the new norm would subtract it again.

    ========== ================================================ =================================
    norm       after a Linear                                   after a convolution
    ========== ================================================ =================================
    batch      `BatchNorm1d`, over the batch and all positions  `BatchNorm1d/2d/3d`
    layer      `LayerNorm` over the features                    `GroupNorm` with one group
    group      `GroupNorm` over the features of each position   `GroupNorm`
    instance   refused: there is one value per channel          `InstanceNorm1d/2d/3d`
    rms        `RMSNorm` over the features                      `RMSNorm` over all of a sample
    ========== ================================================ =================================

    All have torch's defaults. Sources: Ioffe & Szegedy 2015 (batch), Ba et al. 2016 (layer), Wu &
    He 2018 (group), Ulyanov et al. 2016 (instance), Zhang & Sennrich 2019 (RMS).

    Args:
        network: changed in place; left as it was if anything is refused.
        norm: one of `batch`, `layer`, `group`, `instance`, `rms`.
        example: a batch of at least two inputs that the network runs on.
        num_groups: for `group`: into how many groups the channels are divided.
        placement: `before` or `after` the activation.

    Returns:
        The network.

    Raises:
        UsageError: a layer cannot have this norm; every such layer is named, with what would work.

    Example:
        >>> import torch
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        >>> insert_norm(net, "batch", torch.randn(2, 4))[0]
        Linear(
          in_features=4, out_features=8, bias=False
          (norm): BatchNorm1d(8, eps=1e-05, momentum=0.1, ...)
        )
    """
    problems = Problems()
    if norm not in NORMS:
        problems.add(f"unknown norm {norm!r}{suggest(norm, NORMS)}: use one of {', '.join(NORMS)}")
    if placement not in PLACEMENTS:
        problems.add(f"unknown placement {placement!r}: use before or after")
    if norm == "group" and (num_groups is None or num_groups < 1):
        problems.add(f"num_groups={num_groups}: a group norm needs at least one group")
    problems.raise_if_any()
    found = trace(network, example)
    if not found.hidden:
        raise UsageError(
            f"no place for a {norm} norm: in this network no Linear or convolution feeds an "
            "activation and then another layer. Pass your changed network as a variant instead."
        )
    make = Maker(norm, num_groups or 1, like=found.hidden[0].module.weight)
    if placement == "before":
        _insert_before(network, found, make)
    else:
        _insert_after(network, found, make, example)
    return network


def _insert_before(network: nn.Module, found: Trace, make: Maker) -> None:
    problems = Problems()
    former = _between(found, problems)
    bare = [layer for layer in found.hidden if layer.norm is None]
    places = [_place(layer.path, layer) for layer in bare]
    guests = make.all(places, problems)
    successors = make.all([_place(norm.path, norm) for norm in former], problems)
    problems.raise_if_any()
    for layer, place, guest in zip(bare, places, guests, strict=True):
        if make.undoes_bias(place):
            layer.module.register_parameter("bias", None)
        host_after(layer.module, "norm", guest)
    _replace(network, found, former, successors, make)


def _insert_after(network: nn.Module, found: Trace, make: Maker, example: Tensor) -> None:
    problems = Problems()
    leaving = _between(found, problems)
    former = _following(found, problems)
    bare = [activation for activation in found.places if activation.norm is None]
    guests = make.all([_place(_label(a), a) for a in bare], problems)
    successors = make.all([_place(norm.path, norm) for norm in former], problems)
    own = Ownership(network, found, bare, example, problems)
    problems.raise_if_any()
    for host, guest in zip(own.commit(), guests, strict=True):
        host_after(host, "norm", guest)
    for norm in leaving:
        swap(network, network.get_submodule(norm.path), nn.Identity())
    _replace(network, found, former, successors, make)


def _between(found: Trace, problems: Problems) -> list[Norm]:
    """Return the norms between layers and activations, and note those that cannot be replaced."""
    problems.add(*(_fixed(layer.path) for layer in found.hidden if layer.norm == FUNCTION))
    paths = dict.fromkeys(layer.norm for layer in found.hidden)
    return [found.norms[path] for path in paths if path in found.norms]


def _following(found: Trace, problems: Problems) -> list[Norm]:
    """Do the same for the norms that follow activations."""
    problems.add(*(_fixed(_label(a)) for a in found.places if a.norm == FUNCTION))
    paths = dict.fromkeys(activation.norm for activation in found.places)
    return [found.norms[path] for path in paths if path in found.norms]


def _replace(
    network: nn.Module, found: Trace, former: list[Norm], successors: list[nn.Module], make: Maker
) -> None:
    for norm, successor in zip(former, successors, strict=True):
        if make.undoes_bias(_place(norm.path, norm)):
            for path in norm.absorbs:
                found.layers[path].module.register_parameter("bias", None)
        swap(network, network.get_submodule(norm.path), successor)


def _place(label: str, where: Layer | Activation | Norm) -> Place:
    return Place(label, where.shape, where.unit_axis, where.calls)


def _label(activation: Activation) -> str:
    return f"the {activation.name} after {', '.join(activation.layers)}"


def _fixed(label: str) -> str:
    return (
        f"{label} is followed by a norm that is called as a function and cannot be replaced: make "
        "it a module, or pass your changed network as a variant"
    )
