"""Start a network from the weights of another, as far as the two agree."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from normwise.edit.folding.loading import read_weights
from normwise.edit.given import check_network
from normwise.errors import UsageError

Source = nn.Module | Mapping[str, Tensor] | str | os.PathLike[str]


@dataclass(frozen=True)
class Matched:
    """What a network took over from another.

    Attributes:
        taken: names of the parameters and buffers that were copied.
        own: names that the source does not have; the network's own values stay.
        unlike: names that both have, with another shape; the network's own values stay.
        unused: names that only the source has.

    Example:
        >>> print(Matched(("encoder.weight",), ("head.weight",), (), ("decoder.weight",)))
        1 taken over: encoder.weight
        1 not in the source, as initialised: head.weight
        1 of the source not used: decoder.weight
    """

    taken: tuple[str, ...]
    own: tuple[str, ...]
    unlike: tuple[str, ...]
    unused: tuple[str, ...]

    def __str__(self) -> str:
        kinds = (
            ("taken over", self.taken),
            ("not in the source, as initialised", self.own),
            ("of another shape, as initialised", self.unlike),
            ("of the source not used", self.unused),
        )
        return "\n".join(f"{len(n)} {told}: {', '.join(n)}" for told, n in kinds if n)


def take_weights(network: nn.Module, source: Source) -> Matched:
    """Copy the parameters and buffers whose name and shape a network shares with another.

    That is how pretraining goes on: the encoder of an autoencoder, then a head of its own.

    Args:
        network: changed in place.
        source: another network, its state dict, or the path of a file with one (`.safetensors`, or
            what `torch.save` wrote, which is read with `weights_only=True`).

    Returns:
        What was taken over and what was not.

    Raises:
        UsageError: the source cannot be read, or nothing in it matches.

    Example:
        >>> encoder = {"encoder": nn.Linear(4, 2)}
        >>> autoencoder = nn.ModuleDict({**encoder, "decoder": nn.Linear(2, 4)})
        >>> classifier = nn.ModuleDict({"encoder": nn.Linear(4, 2), "head": nn.Linear(2, 3)})
        >>> take_weights(classifier, autoencoder).taken
        ('encoder.weight', 'encoder.bias')
    """
    check_network(network)
    weights = _weights(source)
    own = network.state_dict()
    same = [name for name, value in own.items() if _shape(weights, name) == value.shape]
    if not same:
        raise UsageError(
            "no weight of the source has a name and shape of the network's: the source has "
            f"{_some(weights)}; the network {_some(own)}. Are both built of parts of the same name?"
        )
    with torch.no_grad():
        for name in same:
            own[name].copy_(weights[name])
    return Matched(
        taken=tuple(same),
        own=tuple(name for name in own if name not in weights),
        unlike=tuple(name for name in own if name in weights and name not in same),
        unused=tuple(name for name in weights if name not in own),
    )


def _weights(source: Source) -> Mapping[str, Tensor]:
    if isinstance(source, nn.Module):
        return source.state_dict()
    if isinstance(source, Mapping):
        return source
    return read_weights(source)


def _shape(weights: Mapping[str, Tensor], name: str) -> torch.Size | None:
    return weights[name].shape if name in weights else None


def _some(weights: Mapping[str, Tensor]) -> str:
    shown = [f"{name} {tuple(value.shape)}" for name, value in list(weights.items())[:4]]
    return ", ".join([*shown, "..."] if len(weights) > 4 else shown)
