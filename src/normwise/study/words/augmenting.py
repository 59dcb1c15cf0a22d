"""The word that changes training samples at random: `aug=shift:2/noise:0.1`."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from normwise.data import Augmentation, Erase, Noise, Rotate, Shift
from normwise.errors import suggest
from normwise.stack import Budget, Own, Recipe
from normwise.study.words.word import Entry, Spelling, Tuning, Word

_NONE, _ERASE = "none", "erase"
_LARGEST_ANGLE = 180
_MEANING = (
    "use aug=noise:STD (in standard deviations of the inputs, where they are standardised), "
    "shift:PIXELS, rotate:DEGREES, erase, several joined by / (aug=shift:2/noise:0.1), or none"
)


@dataclass(frozen=True)
class Augment(Tuning):
    """`aug=shift:2/noise:0.1`."""

    steps: tuple[Augmentation | Own, ...]
    slot = "augmentation"

    def tune(self, recipe: Recipe, budget: Budget) -> Recipe:  # noqa: ARG002
        """Change the samples of training."""
        return replace(recipe, augment=self.steps)


def _augment(spelling: Spelling) -> Word:
    # The value has colons of its own.
    value = spelling.text.partition("=")[2]
    if value == _NONE:
        return Augment(())
    return Augment(tuple(_step(spelling, part) for part in value.split("/")))


def _step(spelling: Spelling, part: str) -> Augmentation:
    kind, colon, value = part.partition(":")
    if kind == _ERASE and not colon:
        return Erase()
    if kind == _ERASE:
        raise spelling.refuse("erase takes no value")
    if kind not in AUGMENTATIONS:
        near = suggest(kind, [*AUGMENTATIONS, _ERASE])
        raise spelling.refuse(f"unknown augmentation {kind!r}{near}; {_MEANING}")
    if not value:
        raise spelling.refuse(f"{kind} needs a value; {_MEANING}")
    return AUGMENTATIONS[kind](spelling, spelling.number(value))


def _noise(spelling: Spelling, std: float) -> Augmentation:
    if std < 0:
        raise spelling.refuse("the standard deviation of the noise is not negative")
    return Noise(std)


def _shift(spelling: Spelling, pixels: float) -> Augmentation:
    if pixels < 0 or not pixels.is_integer():
        raise spelling.refuse("a shift is a whole number of pixels, 0 or more")
    return Shift(int(pixels))


def _rotate(spelling: Spelling, degrees: float) -> Augmentation:
    if not 0 <= degrees <= _LARGEST_ANGLE:
        raise spelling.refuse(f"the largest angle lies in [0, {_LARGEST_ANGLE}] degrees")
    return Rotate(degrees)


AUGMENTATIONS: dict[str, Callable[[Spelling, float], Augmentation]] = {
    "noise": _noise,
    "shift": _shift,
    "rotate": _rotate,
}
"""Those with a value."""

AUGMENTING = {"aug": Entry(_augment, _MEANING, has_colon=True)}
