"""Insert a norm at every hidden layer, or put it in the place of the one that is there."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from normwise.edit.hosting import host_after
from normwise.edit.own import own_activations
from normwise.errors import Problems, UsageError, suggest
from normwise.layers import ChannelsLast
from normwise.trace import Activation, Layer, Trace, trace
from normwise.trace.dataflow import FUNCTION

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
    Where a norm stands between a layer and its activation already, the new one takes its place. A
    bias that the new norm subtracts again is dropped.

    ========== ================================================ =================================
    norm       after a Linear                                   after a convolution
    ========== ================================================ =================================
    batch      `BatchNorm1d`, over the batch and all positions  `BatchNorm1d/2d/3d`
    layer      `LayerNorm` over the features                    `GroupNorm` with one group
    group      `GroupNorm` over the features of each sample     `GroupNorm`
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
    make = _Maker(norm, num_groups)
    if placement == "before":
        _insert_before(network, found, make)
    else:
        _insert_after(network, found, make, example)
    return network


def _insert_before(network: nn.Module, found: Trace, make: "_Maker") -> None:
    problems = Problems()
    guests = []
    for layer in found.hidden:
        with problems.collect():
            _check_former(layer)
            _check_reuse(layer.path, layer.calls, make.norm)
            guests.append((layer, make(layer.path, layer.shape, layer.unit_axis)))
    problems.raise_if_any()
    _remove_former(network, found)
    for layer, guest in guests:
        if make.norm in ("batch", "instance"):
            layer.module.bias = None
        host_after(layer.module, "norm", guest)


def _insert_after(network: nn.Module, found: Trace, make: "_Maker", example: Tensor) -> None:
    problems = Problems()
    guests = []
    for activation in found.activations:
        with problems.collect():
            for path in activation.layers:
                _check_former(found.layers[path])
            place = f"the {activation.name} after {', '.join(activation.layers)}"
            axis = _unit_axis(activation, found.layers[activation.layers[0]])
            guests.append(make(place, activation.shape, axis))
            if activation.module is None or found.layers[activation.layers[0]].calls > 1:
                _check_reuse(place, activation.calls, make.norm)
    problems.raise_if_any()
    hosts = own_activations(network, found, found.activations, example)
    _remove_former(network, found)
    for host, guest in zip(hosts, guests, strict=True):
        host_after(network.get_submodule(host), "norm", guest)


def _unit_axis(activation: Activation, layer: Layer) -> int:
    same_layout = len(activation.shape) == len(layer.shape)
    return layer.unit_axis if same_layout else len(activation.shape) - 1


def _check_former(layer: Layer) -> None:
    if layer.norm == FUNCTION:
        raise UsageError(
            f"{layer.path} is followed by a norm that is called as a function and cannot be "
            "replaced: make it a module, or pass your changed network as a variant."
        )


def _check_reuse(place: str, calls: int, norm: str) -> None:
    if calls > 1 and norm == "batch":
        raise UsageError(
            f"{place} is used {calls} times in one forward pass, and one batch norm would mix the "
            "statistics of all uses: layer, group=G and rms hold no statistics and would work."
        )


def _remove_former(network: nn.Module, found: Trace) -> None:
    for layer in found.hidden:
        if layer.norm is not None:
            network.set_submodule(layer.norm, nn.Identity())


@dataclass(frozen=True)
class _Maker:
    """Makes the norm for one place, or says why there can be none."""

    norm: str
    num_groups: int | None

    def __call__(self, place: str, shape: tuple[int, ...], unit_axis: int) -> nn.Module:
        kinds: dict[str, Callable[[str, tuple[int, ...], int], nn.Module]] = {
            "batch": self._batch,
            "layer": self._layer,
            "group": self._group,
            "instance": self._instance,
            "rms": self._rms,
        }
        return kinds[self.norm](place, shape, unit_axis)

    def _batch(self, place: str, shape: tuple[int, ...], unit_axis: int) -> nn.Module:
        if _is_last(shape, unit_axis):
            return _over_features(nn.BatchNorm1d(shape[-1]), shape)
        return _by_rank(place, shape, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d))

    def _layer(self, place: str, shape: tuple[int, ...], unit_axis: int) -> nn.Module:  # noqa: ARG002
        last = _is_last(shape, unit_axis)
        return nn.LayerNorm(shape[-1]) if last else nn.GroupNorm(1, shape[1])

    def _group(self, place: str, shape: tuple[int, ...], unit_axis: int) -> nn.Module:
        groups, units = self.num_groups or 1, shape[unit_axis]
        if units % groups:
            fitting = [str(g) for g in range(1, units + 1) if units % g == 0]
            raise UsageError(
                f"group={groups} does not divide the {units} channels of {place}: "
                f"{', '.join(fitting)} would"
            )
        norm = nn.GroupNorm(groups, units)
        return _over_features(norm, shape) if _is_last(shape, unit_axis) else norm

    def _instance(self, place: str, shape: tuple[int, ...], unit_axis: int) -> nn.Module:
        if _is_last(shape, unit_axis):
            raise UsageError(
                f"instance norm needs positions to average over, and {place} gives one value per "
                "channel: batch, layer, group=G and rms would work"
            )
        return _by_rank(place, shape, (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d))

    def _rms(self, place: str, shape: tuple[int, ...], unit_axis: int) -> nn.Module:  # noqa: ARG002
        last = _is_last(shape, unit_axis)
        return nn.RMSNorm(shape[-1]) if last else nn.RMSNorm(list(shape[1:]))


def _is_last(shape: tuple[int, ...], unit_axis: int) -> bool:
    return unit_axis == len(shape) - 1


def _over_features(norm: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    return ChannelsLast(norm) if len(shape) > 2 else norm


def _by_rank(place: str, shape: tuple[int, ...], kinds: tuple[type[nn.Module], ...]) -> nn.Module:
    positions = len(shape) - 2
    if not 1 <= positions <= len(kinds):
        raise UsageError(f"{place} gives a tensor of shape {shape}, for which torch has no norm")
    return kinds[positions - 1](shape[1])
