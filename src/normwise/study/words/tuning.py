"""Words that change how the network is trained."""

from dataclasses import dataclass, replace

from normwise.errors import UsageError, suggest
from normwise.stack import Budget, Recipe
from normwise.study.words.word import Entry, Spelling, Tuning, Word

FULL = "full"
PRECISIONS = ("bf16", FULL)

_PRECISIONS = "use precision=bf16 (forward and loss in bfloat16, torch.autocast) or full"


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


@dataclass(frozen=True)
class Entropy(Tuning):
    """`entropy=0.1`."""

    value: float
    slot = "entropy bonus"

    def tune(self, recipe: Recipe, budget: Budget) -> Recipe:  # noqa: ARG002
        """Reward predictions that are not too sure."""
        return replace(recipe, entropy=self.value)


@dataclass(frozen=True)
class Accumulate(Tuning):
    """`accumulate=4`."""

    batches: int
    slot = "accumulation"
    order = -1  # schedules count steps of the optimizer

    def tune(self, recipe: Recipe, budget: Budget) -> Recipe:
        """Let several batches make one step of the optimizer."""
        if self.batches > budget.steps_per_epoch:
            raise UsageError(
                f"accumulate={self.batches}: more batches than an epoch has, which are "
                f"{budget.steps_per_epoch}: accumulate fewer, or make batches smaller"
            )
        return replace(recipe, accumulate=self.batches)


@dataclass(frozen=True)
class Precision(Tuning):
    """`precision=bf16`."""

    name: str
    slot = "precision"

    def tune(self, recipe: Recipe, budget: Budget) -> Recipe:  # noqa: ARG002
        """Choose in which numbers forward and loss are computed."""
        return replace(recipe, precision=None if self.name == FULL else self.name)


@dataclass(frozen=True)
class EarlyStop(Tuning):
    """`early_stop=5`."""

    patience: int
    slot = "early stopping"

    def tune(self, recipe: Recipe, budget: Budget) -> Recipe:  # noqa: ARG002
        """End the run when its validation loss no longer falls, with the best weights."""
        stopping = replace(recipe.stopping, patience=self.patience, restore=True)
        return replace(recipe, stopping=stopping)


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


def _entropy(spelling: Spelling) -> Word:
    strength = spelling.number()
    if strength < 0:
        raise spelling.refuse("the strength of the bonus is not negative")
    return Entropy(strength)


def _accumulate(spelling: Spelling) -> Word:
    return Accumulate(spelling.whole(1, "how many batches make a step is a whole number from 1 on"))


def _early_stop(spelling: Spelling) -> Word:
    return EarlyStop(spelling.whole(1, "the patience is a whole number of evaluations from 1 on"))


def _precision(spelling: Spelling) -> Word:
    name = spelling.value
    if name not in PRECISIONS:
        raise spelling.refuse(f"unknown precision{suggest(name, PRECISIONS)}; {_PRECISIONS}")
    return Precision(name)


TUNING = {
    "lr": Entry(_learning_rate, "lr=5x multiplies the study's learning rate, lr=0.05 sets it"),
    "clip": Entry(_clip, "clip=1 scales gradients of a larger norm down to it"),
    "smooth": Entry(_smooth, "smooth=0.1 spreads a tenth of the target over all classes"),
    "entropy": Entry(_entropy, "entropy=0.1 rewards the entropy of predicted classes by a tenth"),
    "accumulate": Entry(_accumulate, "accumulate=4 takes a step every 4 batches"),
    "early_stop": Entry(
        _early_stop, "early_stop=5 ends a run after 5 evaluations without a lower validation loss"
    ),
    "precision": Entry(_precision, _PRECISIONS),
}
