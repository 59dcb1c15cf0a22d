"""Words that change the network."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from normwise.edit import (
    ACTIVATIONS,
    DROPOUTS,
    INITS,
    initialize,
    insert_drop_connect,
    insert_drop_path,
    insert_dropout,
    insert_input_dropout,
    insert_norm,
    replace_activation,
    standardize_weights,
)
from normwise.errors import suggest
from normwise.stack import derive
from normwise.study.words.word import Entry, Spelling, Word

PLACES = ("before", "after")

_INITS = "use init=he, xavier, normal=STD or zero"
_FIRST_P = 0.1  # from which concrete dropout learns (Gal et al. 2017)
_ACTIVATIONS = f"use act={', '.join(ACTIVATIONS)}"


@dataclass(frozen=True)
class Act(Word):
    """`act=tanh`."""

    name: str
    slot = "activation"
    order = 1

    def edit(self, network: nn.Module, example: Any, seed: int) -> nn.Module:  # noqa: ARG002
        """Replace the hidden activations."""
        return replace_activation(network, self.name, example)


@dataclass(frozen=True)
class Norm(Word):
    """`batch`, `group=8`, `ghost=16`, `layer:after`."""

    kind: str
    num_groups: int | None
    placement: str
    virtual_batch_size: int | None = None
    slot = "norm"
    order = 2

    def edit(self, network: nn.Module, example: Any, seed: int) -> nn.Module:  # noqa: ARG002
        """Insert the norm at every hidden layer."""
        return insert_norm(
            network,
            self.kind,
            example,
            num_groups=self.num_groups,
            virtual_batch_size=self.virtual_batch_size,
            placement=self.placement,
        )


@dataclass(frozen=True)
class Dropout(Word):
    """`dropout=0.2`, `dropblock=0.1`, `concrete-dropout`."""

    p: float
    kind: str = "dropout"
    slot = "dropout"
    order = 3

    @property
    def architecture(self) -> Hashable:
        """Runs with any p can be stacked."""
        return self.slot, self.kind

    def edit(self, network: nn.Module, example: Any, seed: int) -> nn.Module:  # noqa: ARG002
        """Insert dropout after every hidden activation."""
        return insert_dropout(network, self.p, example, kind=self.kind)


@dataclass(frozen=True)
class DropConnect(Word):
    """`dropconnect=0.2`."""

    p: float
    slot = "drop connect"
    order = 3

    @property
    def architecture(self) -> Hashable:
        """Runs with any p can be stacked."""
        return self.slot

    def edit(self, network: nn.Module, example: Any, seed: int) -> nn.Module:  # noqa: ARG002
        """Drop elements of the hidden weights."""
        return insert_drop_connect(network, self.p, example)


@dataclass(frozen=True)
class DropPath(Word):
    """`droppath=0.2`."""

    p: float
    slot = "drop path"
    order = 4  # behind the dropout that may end a branch

    @property
    def architecture(self) -> Hashable:
        """Runs with any p can be stacked."""
        return self.slot

    def edit(self, network: nn.Module, example: Any, seed: int) -> nn.Module:  # noqa: ARG002
        """Drop residual branches."""
        return insert_drop_path(network, self.p, example)


@dataclass(frozen=True)
class WeightStandardization(Word):
    """`ws`."""

    slot = "weight standardization"
    order = 3

    def edit(self, network: nn.Module, example: Any, seed: int) -> nn.Module:  # noqa: ARG002
        """Standardise the hidden weights."""
        return standardize_weights(network, example)


@dataclass(frozen=True)
class InputDropout(Word):
    """`input-dropout=0.1`."""

    p: float
    slot = "input dropout"
    order = 4

    @property
    def architecture(self) -> Hashable:
        """Runs with any p can be stacked."""
        return self.slot

    def edit(self, network: nn.Module, example: Any, seed: int) -> nn.Module:  # noqa: ARG002
        """Insert dropout before the first layers."""
        return insert_input_dropout(network, self.p, example)


@dataclass(frozen=True)
class Init(Word):
    """`init=he`, `init=normal=0.01`."""

    name: str
    std: float | None
    slot = "init"
    order = 5

    @property
    def architecture(self) -> Hashable:
        """The network's stays as it is."""
        return None

    def edit(self, network: nn.Module, example: Any, seed: int) -> nn.Module:  # noqa: ARG002
        """Draw new initial weights."""
        generator = torch.Generator().manual_seed(derive(seed, "init"))
        return initialize(network, self.name, std=self.std, generator=generator)


def _norm(spelling: Spelling) -> Word:
    groups = size = None
    if spelling.key == "group":
        groups = spelling.whole(1, "G is how many groups of channels there are, such as group=4")
    if spelling.key == "ghost":
        size = spelling.whole(2, "N is how many samples share their statistics, from 2 on")
    return Norm(spelling.key, groups, spelling.place or PLACES[0], size)


def _dropout(spelling: Spelling) -> Word:
    p = spelling.number()
    if not 0 <= p < 1:
        meaning = DROPOUTS[spelling.key].p if spelling.key in DROPOUTS else DROPOUTS["dropout"].p
        raise spelling.refuse(f"{meaning} lies in [0, 1)")
    others = {"input-dropout": InputDropout, "dropconnect": DropConnect, "droppath": DropPath}
    return others[spelling.key](p) if spelling.key in others else Dropout(p, spelling.key)


def _concrete_dropout(spelling: Spelling) -> Word:
    return Dropout(_FIRST_P, spelling.key)


def _ws(spelling: Spelling) -> Word:  # noqa: ARG001
    return WeightStandardization()


def _init(spelling: Spelling) -> Word:
    name, equals, std = spelling.value.partition("=")
    if name not in INITS:
        raise spelling.refuse(f"unknown init{suggest(name, INITS)}; {_INITS}")
    if name != "normal":
        if equals:
            raise spelling.refuse(f"only normal has a standard deviation; write init={name}")
        return Init(name, None)
    if not std or spelling.number(std) <= 0:
        raise spelling.refuse("write init=normal=STD with a positive standard deviation")
    return Init(name, spelling.number(std))


def _act(spelling: Spelling) -> Word:
    name = spelling.value
    if name not in ACTIVATIONS:
        raise spelling.refuse(f"unknown activation{suggest(name, ACTIVATIONS)}; {_ACTIVATIONS}")
    return Act(name)


NORMS = {
    "batch": Entry(_norm),
    "layer": Entry(_norm),
    "group": Entry(_norm, "group=4 divides the channels into 4 groups"),
    "instance": Entry(_norm),
    "rms": Entry(_norm),
    "ghost": Entry(_norm, "ghost=16 lets 16 samples at a time share their statistics"),
    "renorm": Entry(_norm),
    "whiten": Entry(_norm),
    "frn": Entry(_norm),
    "dyt": Entry(_norm),
}
"""The words that can be placed."""

EDITING = {
    **NORMS,
    "dropout": Entry(_dropout, "dropout=0.2 zeroes a fifth of the hidden activations"),
    "gaussian-dropout": Entry(_dropout, "gaussian-dropout=0.2 has the variance of dropout=0.2"),
    "uout": Entry(_dropout, "uout=0.1 multiplies by uniform noise from 0.9 to 1.1"),
    "concrete-dropout": Entry(_concrete_dropout),
    "locked-dropout": Entry(_dropout, "locked-dropout=0.2 zeroes features of whole sequences"),
    "dropblock": Entry(_dropout, "dropblock=0.1 zeroes squares, a tenth of every feature map"),
    "dropconnect": Entry(_dropout, "dropconnect=0.2 zeroes a fifth of the hidden weights"),
    "droppath": Entry(_dropout, "droppath=0.2 drops the last residual branch a fifth of the time"),
    "ws": Entry(_ws),
    "input-dropout": Entry(_dropout, "input-dropout=0.1 zeroes a tenth of the inputs"),
    "init": Entry(_init, _INITS),
    "act": Entry(_act, _ACTIVATIONS),
}
