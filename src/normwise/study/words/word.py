"""What every word of the variant grammar has in common, and how its text is taken apart."""

import math
import re
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from normwise.errors import UsageError
from normwise.samples import Samples
from normwise.stack import Budget, Recipe


@dataclass(frozen=True)
class Word:
    """One part of a variant: it edits the network, or tunes its training.

    Attributes:
        slot: what it decides; a variant has at most one word for each.
        order: edits are applied, and trainings tuned, in ascending order.
    """

    slot: ClassVar[str]
    order: ClassVar[int] = 0

    @property
    def architecture(self) -> Hashable:
        """What the word makes of the network's architecture; None where nothing."""
        return self

    def edit(self, network: nn.Module, example: Samples, seed: int) -> nn.Module:  # noqa: ARG002
        """Change the network of the run with this seed."""
        return network

    def tune(self, recipe: Recipe, budget: Budget) -> Recipe:  # noqa: ARG002
        """Change how the run is trained.

        Raises:
            UsageError: the word does not fit so short a training, or another word.
        """
        return recipe


@dataclass(frozen=True)
class Tuning(Word):
    """A word that leaves the network as it is."""

    @property
    def architecture(self) -> Hashable:
        """The network's stays as it is."""
        return None


@dataclass(frozen=True)
class Spelling:
    """One part of a variant, as it is written: `key=value:place`."""

    text: str
    key: str
    value: str
    place: str

    @classmethod
    def of(cls, text: str) -> "Spelling":
        """Take a text apart; what is not there is empty."""
        body, _, place = text.partition(":")
        key, _, value = body.partition("=")
        return cls(text, key, value, place)

    def refuse(self, why: str) -> UsageError:
        """Return the error that this text is."""
        return UsageError(f"{self.text}: {why}")

    def number(self, value: str | None = None) -> float:
        """Read the value, or a part of it, as a finite number."""
        value = self.value if value is None else value
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise self.refuse(f"{value!r} is not a finite number")
        return number

    def whole(self, least: int, meaning: str) -> int:
        """Read the value as a whole number, `least` or more; an error tells its meaning."""
        if not re.fullmatch("[1-9][0-9]{0,8}", self.value) or int(self.value) < least:
            raise self.refuse(meaning)
        return int(self.value)


@dataclass(frozen=True)
class Entry:
    """How a key of the grammar is read.

    Attributes:
        read: makes the word.
        value: what the value means, with an example; None for a key without.
        has_colon: whether a colon may follow; what is behind it is for `read` to judge.
    """

    read: Callable[[Spelling], Word]
    value: str | None = None
    has_colon: bool = False
