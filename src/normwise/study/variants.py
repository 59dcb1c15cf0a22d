"""Variants: named changes to a network or its training."""

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass

from torch import nn

from normwise.errors import Problems, UsageError
from normwise.samples import Samples
from normwise.study.words import Word, parse_word

Factory = Callable[[], nn.Module]

PLAIN = "plain"


@dataclass(frozen=True)
class Variant:
    """A named change to a network or its training.

    Attributes:
        name: as the user wrote it.
        words: what it changes, in the order written; none for `plain`.
        factory: makes the network in place of the study's own factory, or None.
    """

    name: str
    words: tuple[Word, ...] = ()
    factory: Factory | None = None

    @property
    def architecture(self) -> Hashable:
        """Equal for variants whose networks differ in weights and dropout's p at most."""
        return self.factory, frozenset(word.architecture for word in self.words) - {None}

    def edit(self, network: nn.Module, example: Samples, seed: int) -> nn.Module:
        """Apply the words that change the network."""
        for word in sorted(self.words, key=lambda word: word.order):
            network = word.edit(network, example, seed)
        return network


Variants = str | Iterable[str] | Mapping[str, str | Factory]


def parse_variants(variants: Variants) -> list[Variant]:
    """Read the variants of a study.

    Args:
        variants: names by the grammar, as a list or joined by commas; or a mapping from names of
            the user's own to such a text or to a factory of another network. A mapping is compared
            with `plain`, unless it has one of that name.

    Returns:
        The variants in order; the first is the baseline.

    Raises:
        UsageError: a variant is not understood, contradicts itself, or appears twice.

    Example:
        >>> [variant.name for variant in parse_variants("plain,batch+lr=5x")]
        ['plain', 'batch+lr=5x']
    """
    if isinstance(variants, str):
        variants = [name.strip() for name in variants.split(",")]
    if not isinstance(variants, Iterable):
        raise UsageError(
            f"variants={variants!r}: give a list of texts by the grammar, such as "
            "['plain', 'batch'], or a mapping of names to texts or functions"
        )
    if isinstance(variants, Mapping):
        named = dict(variants)
        pairs = list((named if PLAIN in named else {PLAIN: PLAIN, **named}).items())
    else:
        pairs = [(name, name) for name in variants]
    problems = Problems()
    parsed = []
    for name, meaning in pairs:
        with problems.collect():
            parsed.append(_parse(name, meaning))
    problems.add(*_repeated(parsed))
    if not pairs:
        problems.add("variants is empty: name at least one, such as plain,batch")
    problems.raise_if_any()
    return parsed


def _parse(name: str, meaning: str | Factory) -> Variant:
    if isinstance(meaning, nn.Module):
        raise UsageError(
            f"variant {name!r} is a network, and every seed needs a fresh one: give a function "
            f"that makes it, such as lambda: {type(meaning).__name__}(...)"
        )
    if not isinstance(name, str):
        raise UsageError(
            f"variant {name!r} has no name: give a mapping, such as {{'mine': make_network}}"
        )
    if callable(meaning):
        return Variant(name, factory=meaning)
    if not isinstance(meaning, str):
        raise UsageError(
            f"variant {name!r} is a {type(meaning).__name__}: give a text by the grammar, or a "
            "function that makes a network"
        )
    problems = Problems()
    words: list[Word] = []
    for part in map(str.strip, meaning.split("+")):
        with problems.collect():
            if part != PLAIN:
                words.append(parse_word(part))
    problems.raise_if_any()
    slots = [word.slot for word in words]
    for slot in sorted({slot for slot in slots if slots.count(slot) > 1}):
        problems.add(f"variant {name!r} names its {slot} more than once: keep one")
    problems.raise_if_any()
    return Variant(name, tuple(words))


def _repeated(variants: list[Variant]) -> list[str]:
    """Two variants that are the same would be compared as if they were not."""
    problems = []
    for position, variant in enumerate(variants):
        for other in variants[:position]:
            same = set(variant.words) == set(other.words) and variant.factory is other.factory
            if variant.name == other.name or same:
                problems.append(
                    f"variants {other.name!r} and {variant.name!r} are the same: keep one"
                )
                break
    return problems
