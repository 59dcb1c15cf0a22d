"""Insert a norm at every hidden layer, or put it in the place of the one that is there."""

from typing import Any

from torch import nn
from torch.optim import Optimizer

from normwise.edit.editing import editing, traced
from normwise.edit.given import check_network
from normwise.edit.log import Edit
from normwise.edit.making import Maker
from normwise.edit.optimizing import check_optimizer
from normwise.edit.placing import insert_after, insert_before
from normwise.errors import Problems, UsageError, suggest
from normwise.trace import Layer, Trace
from normwise.trace.matching import Where, matching

NORMS = (
    *("batch", "layer", "group", "instance", "rms"),
    *("ghost", "renorm", "whiten", "frn", "dyt"),
)
PLACEMENTS = ("before", "after")


def insert_norm(
    network: nn.Module,
    norm: str,
    example: Any,
    *,
    num_groups: int | None = None,
    virtual_batch_size: int | None = None,
    placement: str = "before",
    where: Where | None = None,
    optimizer: Optimizer | None = None,
) -> nn.Module:
    """Normalise every hidden layer: each Linear or convolution whose output feeds an activation.

    Which those are is found by following one forward pass on `example`; the head is left alone.
    Where a norm stands between a layer and its activation already, the new one takes its place;
    `after` the activation, it goes and a norm that follows the activation gives way to the new
    one. A bias is dropped exactly where the new norm would subtract it again. A norm takes device,
    dtype and mode of its layer, and `edits` tells what was done where.

    ========== ================================================ =================================
    norm       after a Linear                                   after a convolution
    ========== ================================================ =================================
    batch      `BatchNorm1d`, over the batch and all positions  `BatchNorm1d/2d/3d`
    layer      `LayerNorm` over the features                    `GroupNorm` with one group
    group      `GroupNorm` over the features of each position   `GroupNorm`
    instance   refused: there is one value per channel          `InstanceNorm1d/2d/3d`
    rms        `RMSNorm` over the features                      `RMSNorm` over all of a sample
    ghost      `layers.BatchNorm1d` with `virtual_batch_size`   `layers.BatchNorm1d/2d/3d`
    renorm     `layers.BatchNorm1d` with `r_max` and `d_max`    `layers.BatchNorm1d/2d/3d`
    whiten     `layers.WhitenNorm1d`                            `layers.WhitenNorm1d/2d`
    frn        refused, as instance                             `layers.FilterResponseNorm`
    dyt        `layers.DynamicTanh` over the features           `layers.DynamicTanh` over channels
    ========== ================================================ =================================

    All have torch's defaults, or those of `normwise.layers`. The limits of `renorm` reach the
    paper's 3 and 5 after 1000 steps, `whiten` takes groups of at most 64 channels, and `frn` leaves
    the activation to the network, where the paper has a threshold. Sources: Ioffe & Szegedy 2015
    (batch), Ba et al. 2016 (layer), Wu & He 2018 (group), Ulyanov et al. 2016 (instance), Zhang &
    Sennrich 2019 (RMS), and those of the layers.

    Args:
        network: changed in place; left as it was if anything is refused.
        norm: a word of this table.
        example: a batch of at least two inputs: a tensor, or a tuple or dict of arguments.
        num_groups: for `group`: into how many groups the channels are divided.
        virtual_batch_size: for `ghost`: how many samples share their statistics, at most.
        placement: `before` or `after` the activation.
        where: only layers whose path matches this pattern (`encoder.*`) or one of these, or for
            which this predicate of path and module holds. A layer chosen in this way that feeds no
            activation, such as the head or a projection, gets the norm on its output.
        optimizer: takes the new parameters into the group of their layer's, with its learning rate
            and weight decay, and lets those that go go.

    Returns:
        The network.

    Raises:
        UsageError: a layer cannot have this norm (every such layer is named, with what would
            work), `where` chooses none, or the network does not run on the example.

    Example:
        >>> import torch
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        >>> insert_norm(net, "batch", torch.randn(2, 4))[0]
        Linear(
          in_features=4, out_features=8, bias=False
          (norm): BatchNorm1d(8, eps=1e-05, momentum=0.1, ...)
        )
    """
    check_network(network)
    problems = Problems()
    if norm not in NORMS:
        problems.add(f"unknown norm {norm!r}{suggest(norm, NORMS)}: use one of {', '.join(NORMS)}")
    if placement not in PLACEMENTS:
        problems.add(f"unknown placement {placement!r}: use before or after")
    if norm == "group" and (num_groups is None or num_groups < 1):
        problems.add(f"num_groups={num_groups}: a group norm needs at least one group")
    if norm == "ghost" and (virtual_batch_size is None or virtual_batch_size < 2):
        problems.add(
            f"virtual_batch_size={virtual_batch_size}: a ghost batch needs at least two samples"
        )
    check_optimizer(optimizer, network, problems)
    problems.raise_if_any()
    found = traced(network, example)
    chosen = _choose(network, found, norm, where)
    make = Maker(norm, num_groups or 1, virtual_batch_size)
    values = {"group": num_groups, "ghost": virtual_batch_size}
    word = f"{norm}={values[norm]}" if norm in values else norm
    with editing(network, example, optimizer) as made:
        if placement == "before":
            changes = insert_before(network, found, chosen, make)
        else:
            changes = insert_after(network, found, chosen, make, example)
            word += ":after"
        made += [Edit(f"insert_norm {word}", *change) for change in changes]
    return network


def _choose(network: nn.Module, found: Trace, norm: str, where: Where | None) -> list[Layer]:
    layers = found.hidden if where is None else tuple(found.layers.values())
    modules = {layer.path: layer.module for layer in layers}
    chosen = matching(where, network, modules, "Linear or convolution")
    if not chosen:
        raise UsageError(
            f"no place for a {norm} norm: in this network no Linear or convolution feeds an "
            "activation and then another layer. Choose layers by where= of insert_norm, or pass "
            "your changed network as a variant: variants={'mine': make_other}."
        )
    return [found.layers[path] for path in chosen]
