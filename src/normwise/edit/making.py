"""Make the norm that fits a place, or say why none does."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from normwise.errors import Problems, UsageError
from normwise.layers import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    ChannelsLast,
    DynamicTanh,
    FilterResponseNorm,
    Ramp,
    WhitenNorm1d,
    WhitenNorm2d,
)

_LARGEST_GROUP = 64  # channels that are whitened together, at most (Huang et al. 2019)
_RAMP = 1000  # steps until batch renormalization has its limits


@dataclass(frozen=True)
class Place:
    """Where a norm goes, and what it will see there.

    Attributes:
        label: what an error calls it.
        shape: of the values to normalise, batch first.
        unit_axis: the axis that counts units or channels.
        calls: how often one forward pass comes by.
        like: whose device and dtype the norm takes.
    """

    label: str
    shape: tuple[int, ...]
    unit_axis: int
    calls: int
    like: Tensor

    @property
    def units(self) -> int:
        """How many units or channels there are."""
        return self.shape[self.unit_axis]

    @property
    def units_last(self) -> bool:
        """Whether features come last, as after a Linear, so that no positions share a norm."""
        return self.unit_axis == len(self.shape) - 1

    @property
    def positions(self) -> int:
        """How many values of one unit are normalised together within a sample."""
        return 1 if self.units_last else math.prod(self.shape[2:])


_OUR_BATCH_NORMS = (BatchNorm1d, BatchNorm2d, BatchNorm3d)


@dataclass(frozen=True)
class Maker:
    """Makes norms of one kind.

    Attributes:
        norm: one of the words of `insert_norm`.
        num_groups: for `group`.
        virtual_batch_size: for `ghost`.
    """

    norm: str
    num_groups: int = 1
    virtual_batch_size: int | None = None

    def all(self, places: list[Place], problems: Problems) -> list[nn.Module]:
        """Return a norm for each place, and note the places that can have none."""
        norms = []
        for place in places:
            with problems.collect():
                norms.append(self(place))
        return norms

    def __call__(self, place: Place) -> nn.Module:
        """Return a norm for a place.

        Raises:
            UsageError: there can be none, with what would work.
        """
        last = len(place.shape) - 1
        if last < 1 or place.unit_axis not in (1, last):
            raise _no_norm(place)
        kinds: dict[str, Callable[[Place], nn.Module]] = {
            "batch": self._batch,
            "layer": self._layer,
            "group": self._group,
            "instance": self._instance,
            "rms": self._rms,
            "ghost": self._ghost,
            "renorm": self._renorm,
            "whiten": self._whiten,
            "frn": self._frn,
            "dyt": self._dyt,
        }
        return kinds[self.norm](place).to(place.like.device, place.like.dtype)

    def undoes_bias(self, place: Place) -> bool:
        """Whether the norm subtracts a mean per unit, and with it any bias of the layer."""
        alone = self.norm == "group" and self.num_groups == place.units
        return self.norm in ("batch", "instance", "ghost", "whiten") or alone

    def _batch(self, place: Place) -> nn.Module:
        return _over_batch(place, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)

    def _ghost(self, place: Place) -> nn.Module:
        size = self.virtual_batch_size
        kinds = (partial(kind, virtual_batch_size=size) for kind in _OUR_BATCH_NORMS)
        return _over_batch(place, *kinds)

    def _renorm(self, place: Place) -> nn.Module:
        r_max, d_max = Ramp(1, 3, 0, _RAMP), Ramp(0, 5, 0, _RAMP)
        kinds = (partial(kind, r_max=r_max, d_max=d_max) for kind in _OUR_BATCH_NORMS)
        return _over_batch(place, *kinds)

    def _whiten(self, place: Place) -> nn.Module:
        units = place.units
        size = max(n for n in range(1, min(units, _LARGEST_GROUP) + 1) if units % n == 0)
        kinds = (partial(kind, num_groups=units // size) for kind in (WhitenNorm1d, WhitenNorm2d))
        return _over_batch(place, *kinds)

    def _layer(self, place: Place) -> nn.Module:
        if place.units * place.positions == 1:
            raise UsageError(
                f"{place.label} gives one value per sample, which a layer norm would always make "
                "0: batch would work"
            )
        return nn.LayerNorm(place.units) if place.units_last else nn.GroupNorm(1, place.units)

    def _group(self, place: Place) -> nn.Module:
        groups, units = self.num_groups, place.units
        divisors = [g for g in range(1, units + 1) if units % g == 0]
        fitting = [str(g) for g in divisors if units // g * place.positions > 1]
        if str(groups) not in fitting:
            reason = (
                f"does not divide the {units} channels of {place.label}"
                if units % groups
                else f"leaves one value per group of {place.label}, which would always become 0"
            )
            raise UsageError(f"group={groups} {reason}: {_would(fitting)}")
        norm = nn.GroupNorm(groups, units)
        return _over_features(norm, place) if place.units_last else norm

    def _instance(self, place: Place) -> nn.Module:
        _check_positions("instance", place)
        return _by_rank(place, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)

    def _frn(self, place: Place) -> nn.Module:
        _check_positions("filter response", place)
        return FilterResponseNorm(place.units, tlu=False)

    def _dyt(self, place: Place) -> nn.Module:
        return DynamicTanh(place.units, channels_last=place.units_last)

    def _rms(self, place: Place) -> nn.Module:
        return nn.RMSNorm(place.units if place.units_last else list(place.shape[1:]))


def short(module: nn.Module) -> str:
    """Return what a report calls a module: `GroupNorm(4, 32)`.

    Example:
        >>> short(nn.BatchNorm2d(8))
        'BatchNorm2d(8)'
    """
    if isinstance(module, ChannelsLast):
        return f"ChannelsLast({short(module.norm)})"
    return re.sub(r", (eps|inplace)=.*", ")", repr(module))


def _would(groups: list[str]) -> str:
    return f"group={', '.join(groups)} would" if groups else "batch would work"


def _over_features(norm: nn.Module, place: Place) -> nn.Module:
    return ChannelsLast(norm) if len(place.shape) > 2 else norm


def _check_positions(norm: str, place: Place) -> None:
    if place.positions == 1:
        raise UsageError(
            f"{norm} norm needs positions to average over, and {place.label} gives one value "
            "per channel: batch, layer, group=G and rms would work"
        )


def _over_batch(place: Place, *kinds: Callable[[int], nn.Module]) -> nn.Module:
    """Return the norm for the rank of a place, which must be unique in the forward pass."""
    if place.calls > 1:
        raise UsageError(
            f"{place.label} is used {place.calls} times in one forward pass, and one batch "
            "norm would mix the statistics of all uses: layer, group=G and rms hold no "
            "statistics and would work"
        )
    return (
        _over_features(kinds[0](place.units), place)
        if place.units_last
        else _by_rank(place, *kinds)
    )


def _by_rank(place: Place, *kinds: Callable[[int], nn.Module]) -> nn.Module:
    rank = len(place.shape) - 2
    if rank > len(kinds):
        raise _no_norm(place)
    return kinds[rank - 1](place.units)


def _no_norm(place: Place) -> UsageError:
    return UsageError(
        f"{place.label} gives a tensor of shape {place.shape}, for which torch has no norm: leave "
        "this norm out, or pass your changed network as a variant"
    )
