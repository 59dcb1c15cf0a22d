"""The words of the variant grammar. Adding one is adding a class here and its name to `WORDS`."""

import math
import re
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from normwise.edit import (
    ACTIVATIONS,
    INITS,
    initialize,
    insert_dropout,
    insert_input_dropout,
    insert_norm,
    replace_activation,
)
from normwise.errors import UsageError, suggest
from normwise.stack import Recipe, derive

_PLACES = ("before", "after")

GRAMMAR = (
    "plain, or parts joined by +: batch, layer, group=G, instance, rms (each with :after to stand "
    "behind the activation), dropout=P, input-dropout=P, lr=5x or lr=0.05, wd=1e-4, "
    f"init={'|'.join(INITS).replace('normal', 'normal=STD')}, act={'|'.join(ACTIVATIONS)}"
)


@dataclass(frozen=True)
class Word:
    """One part of a variant: it edits the network, or tunes its training.

    Attributes:
        slot: what it decides; a variant has at most one word for each.
        order: edits are applied in ascending order.
    """

    slot: ClassVar[str]
    order: ClassVar[int] = 0

    @property
    def architecture(self) -> Hashable:
        """What the word makes of the network's architecture; None where nothing."""
        return self

    def edit(self, network: nn.Module, example: Tensor, seed: int) -> nn.Module:  # noqa: ARG002
        """Change the network of the run with this seed."""
        return network

    def tune(self, recipe: Recipe) -> Recipe:
        """Change how the run is trained."""
        return recipe


@dataclass(frozen=True)
class Act(Word):
    """`act=tanh`."""

    name: str
    slot = "activation"
    order = 1

    def edit(self, network: nn.Module, example: Tensor, seed: int) -> nn.Module:  # noqa: ARG002
        """Replace the hidden activations."""
        return replace_activation(network, self.name, example)


@dataclass(frozen=True)
class Norm(Word):
    """`batch`, `group=8`, `layer:after`."""

    kind: str
    num_groups: int | None
    placement: str
    slot = "norm"
    order = 2

    def edit(self, network: nn.Module, example: Tensor, seed: int) -> nn.Module:  # noqa: ARG002
        """Insert the norm at every hidden layer."""
        return insert_norm(
            network, self.kind, example, num_groups=self.num_groups, placement=self.placement
        )


@dataclass(frozen=True)
class Dropout(Word):
    """`dropout=0.2`."""

    p: float
    slot = "dropout"
    order = 3

    @property
    def architecture(self) -> Hashable:
        """Runs with any p can be stacked."""
        return self.slot

    def edit(self, network: nn.Module, example: Tensor, seed: int) -> nn.Module:  # noqa: ARG002
        """Insert dropout after every hidden activation."""
        return insert_dropout(network, self.p, example)


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

    def edit(self, network: nn.Module, example: Tensor, seed: int) -> nn.Module:  # noqa: ARG002
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

    def edit(self, network: nn.Module, example: Tensor, seed: int) -> nn.Module:  # noqa: ARG002
        """Draw new initial weights."""
        generator = torch.Generator().manual_seed(derive(seed, "init"))
        return initialize(network, self.name, std=self.std, generator=generator)


@dataclass(frozen=True)
class LearningRate(Word):
    """`lr=5x`, `lr=0.05`."""

    value: float
    relative: bool
    slot = "learning rate"

    @property
    def architecture(self) -> Hashable:
        """The network's stays as it is."""
        return None

    def tune(self, recipe: Recipe) -> Recipe:
        """Set or multiply the learning rate."""
        return replace(recipe, lr=recipe.lr * self.value if self.relative else self.value)


@dataclass(frozen=True)
class WeightDecay(Word):
    """`wd=1e-4`."""

    value: float
    slot = "weight decay"

    @property
    def architecture(self) -> Hashable:
        """The network's stays as it is."""
        return None

    def tune(self, recipe: Recipe) -> Recipe:
        """Set the optimizer's weight decay."""
        return replace(recipe, weight_decay=self.value)


def parse_word(text: str) -> Word:
    """Read one part of a variant.

    Args:
        text: such as `batch:after`, `dropout=0.2` or `lr=5x`.

    Raises:
        UsageError: it is no word of the grammar, or its value is out of range.

    Example:
        >>> parse_word("dropout=0.2")
        Dropout(p=0.2)
    """
    body, colon, place = text.partition(":")
    key, equals, value = body.partition("=")
    if not text:
        raise UsageError("a variant, or a part of one, is empty: is there a comma or + too many?")
    if key not in WORDS:
        near = suggest(key, WORDS)
        raise UsageError(f"unknown word {text!r}{near or f'. A variant is {GRAMMAR}'}")
    if colon and WORDS[key] is not _norm:
        raise UsageError(f"{text}: only a norm can be placed; write {body}")
    if colon and place not in _PLACES:
        raise UsageError(
            f"{text}: a norm stands :before (the default) or :after the activation"
            f"{suggest(place, _PLACES)}"
        )
    if not equals and key in _VALUES:
        raise UsageError(f"{text} needs a value: {_VALUES[key]}")
    if equals and key not in _VALUES:
        raise UsageError(f"{text}: {key} takes no value; write {key}")
    return WORDS[key](text, key, value, place)


def _norm(text: str, key: str, value: str, place: str) -> Word:
    groups = None
    if key == "group":
        if not re.fullmatch("[1-9][0-9]{0,8}", value):
            raise UsageError(f"{text}: G is how many groups of channels there are, such as group=4")
        groups = int(value)
    return Norm(key, groups, place or _PLACES[0])


def _dropout(text: str, key: str, value: str, place: str) -> Word:  # noqa: ARG001
    p = _number(text, value)
    if not 0 <= p < 1:
        raise UsageError(f"{text}: the probability to zero an element lies in [0, 1)")
    return Dropout(p) if key == "dropout" else InputDropout(p)


def _learning_rate(text: str, key: str, value: str, place: str) -> Word:  # noqa: ARG001
    relative = value.endswith("x")
    rate = _number(text, value.removesuffix("x"))
    if rate <= 0:
        raise UsageError(f"{text}: a learning rate is positive")
    return LearningRate(rate, relative)


def _weight_decay(text: str, key: str, value: str, place: str) -> Word:  # noqa: ARG001
    decay = _number(text, value)
    if decay < 0:
        raise UsageError(f"{text}: a weight decay is not negative")
    return WeightDecay(decay)


def _init(text: str, key: str, value: str, place: str) -> Word:  # noqa: ARG001
    name, equals, std = value.partition("=")
    if name not in INITS:
        raise UsageError(f"{text}: unknown init{suggest(name, INITS)}; {_VALUES['init']}")
    if name != "normal":
        if equals:
            raise UsageError(f"{text}: only normal has a standard deviation; write init={name}")
        return Init(name, None)
    if not std or _number(text, std) <= 0:
        raise UsageError(f"{text}: write init=normal=STD with a positive standard deviation")
    return Init(name, _number(text, std))


def _act(text: str, key: str, value: str, place: str) -> Word:  # noqa: ARG001
    if value not in ACTIVATIONS:
        raise UsageError(
            f"{text}: unknown activation{suggest(value, ACTIVATIONS)}; {_VALUES['act']}"
        )
    return Act(value)


def _number(text: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UsageError(f"{text}: {value!r} is not a finite number")
    return number


WORDS: dict[str, Callable[[str, str, str, str], Word]] = {
    "batch": _norm,
    "layer": _norm,
    "group": _norm,
    "instance": _norm,
    "rms": _norm,
    "dropout": _dropout,
    "input-dropout": _dropout,
    "lr": _learning_rate,
    "wd": _weight_decay,
    "init": _init,
    "act": _act,
}

_VALUES = {
    "group": "group=4 divides the channels into 4 groups",
    "dropout": "dropout=0.2 zeroes a fifth of the hidden activations",
    "input-dropout": "input-dropout=0.1 zeroes a tenth of the inputs",
    "lr": "lr=5x multiplies the study's learning rate, lr=0.05 sets it",
    "wd": "wd=1e-4",
    "init": "use init=he, xavier, normal=STD or zero",
    "act": f"use act={', '.join(ACTIVATIONS)}",
}
