"""Settings of a training that do not fit its data."""

from torch import Tensor

from normwise.data import Augmentation, Data
from normwise.stack import Recipe


def contradictions(recipe: Recipe, data: Data) -> list[str]:
    """Return what in a recipe cannot be meant for this data.

    Args:
        recipe: how runs train.
        data: what they train on.

    Example:
        >>> from normwise.data import Rotate, load
        >>> x, y = [[0.5], [1.5], [2.5], [3.5], [4.5]] * 4, [0, 1] * 10
        >>> contradictions(Recipe(augment=(Rotate(10),)), load((x, y)))
        ['aug=rotate: images (C, H, W) are needed, and a sample has shape (1,)']
    """
    problems = []
    tasks = {data.task, *(head.task for head in data.heads.values())}
    if recipe.entropy and "classes" not in tasks:
        problems.append(
            f"entropy={recipe.entropy:g}: the entropy is that of predicted classes, and this is a "
            "regression: leave it out"
        )
    x = data.train.x
    if not isinstance(x, Tensor):
        if recipe.augment:
            problems.append("aug is for inputs of one tensor, and these samples have several")
        return problems
    for step in recipe.augment:
        misfit = step.misfit(x) if isinstance(step, Augmentation) else None
        if misfit is not None:
            problems.append(f"aug={type(step).__name__.lower()}: {misfit}")
    return problems
