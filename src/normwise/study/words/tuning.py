"""Words that change how the network is trained."""

from dataclasses import dataclass, replace

from normwise.stack import Budget, Recipe
from normwise.study.words.word import Entry, Spelling, Tuning, Word


@dataclass(frozen=True)
class LearningRate(Tuning):
    """`lr=5x`, `lr=0.05`."""

    value: float
    relative: bool
    slot = "learning rate"

    def tune(self, recipe: Recipe, budget: Budget) -> Recipe:  # noqa: ARG002
        """Set or multiply the learning rate."""
        return replace(recipe, lr=recipe.lr * self.value if self.relative else self.value)


@dataclass(frozen=True)
class Clip(Tuning):
    """`clip=1`."""

    value: float
    slot = "gradient clipping"

    def tune(self, recipe: Recipe, budget: Budget) -> Recipe:  # noqa: ARG002
        """Limit the norm of the gradient."""
        return replace(recipe, clip=self.value)


@dataclass(frozen=True)
class Smooth(Tuning):
    """`smooth=0.1`."""

    value: float
    slot = "label smoothing"

    def tune(self, recipe: Recipe, budget: Budget) -> Recipe:  # noqa: ARG002
        """Smooth the labels of the training loss."""
        return replace(recipe, label_smoothing=self.value)


def _learning_rate(spelling: Spelling) -> Word:
    relative = spelling.value.endswith("x")
    rate = spelling.number(spelling.value.removesuffix("x"))
    if rate <= 0:
        raise spelling.refuse("a learning rate is positive")
    return LearningRate(rate, relative)


def _clip(spelling: Spelling) -> Word:
    norm = spelling.number()
    if norm <= 0:
        raise spelling.refuse("the largest norm of the gradient is positive")
    return Clip(norm)


def _smooth(spelling: Spelling) -> Word:
    share = spelling.number()
    if not 0 <= share < 1:
        raise spelling.refuse("the share of the target that all classes get lies in [0, 1)")
    return Smooth(share)


TUNING = {
    "lr": Entry(_learning_rate, "lr=5x multiplies the study's learning rate, lr=0.05 sets it"),
    "clip": Entry(_clip, "clip=1 scales gradients of a larger norm down to it"),
    "smooth": Entry(_smooth, "smooth=0.1 spreads a tenth of the target over all classes"),
}
