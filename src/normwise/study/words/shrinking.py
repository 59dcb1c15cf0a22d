"""Words that keep weights small: `l1`, `l2` and `wd`, for all layers or for some."""

from dataclasses import dataclass, replace
from typing import ClassVar

from normwise.stack import Budget, Penalty, Recipe
from normwise.study.words.word import Entry, Spelling, Tuning, Word


@dataclass(frozen=True)
class Shrink(Tuning):
    """`l2=1e-4`, `l2=1e-4:encoder*`."""

    strength: float
    layers: str | None = None
    key: ClassVar[str]

    def tune(self, recipe: Recipe, budget: Budget) -> Recipe:  # noqa: ARG002
        """Set how strongly weights are kept small."""
        return replace(recipe, **{self.key: Penalty(self.strength, self.layers)})


@dataclass(frozen=True)
class L1(Shrink):
    """`l1=1e-5`."""

    slot = "L1 term"
    key = "l1"


@dataclass(frozen=True)
class L2(Shrink):
    """`l2=1e-4`."""

    slot = "L2 term"
    key = "l2"


@dataclass(frozen=True)
class WeightDecay(Shrink):
    """`wd=1e-4`."""

    slot = "weight decay"
    key = "wd"


def _shrink(spelling: Spelling) -> Word:
    strength = spelling.number()
    if strength < 0:
        raise spelling.refuse("the strength is not negative")
    if ":" in spelling.text and not spelling.place:
        raise spelling.refuse(
            f"name layers behind the colon, such as {spelling.key}=1e-4:encoder*, or leave it out"
        )
    kind = next(kind for kind in (L1, L2, WeightDecay) if kind.key == spelling.key)
    return kind(strength, spelling.place or None)


_LAYERS = "for all layers, {}:encoder* for those whose name begins so"

SHRINKING = {
    key: Entry(_shrink, f"{key}={value} is {_LAYERS.format(f'{key}={value}')}", has_colon=True)
    for key, value in (("l1", "1e-5"), ("l2", "1e-4"), ("wd", "1e-4"))
}
