"""The learning rates of many runs, as their schedules turn them."""

from collections.abc import Hashable, Sequence
from typing import Any

from normwise.stack.recipes import Recipe
from normwise.stack.schedules import Dial


class Dials:
    """The schedules of many runs: those that move alike share a dial, unless it depends on the run.

    Args:
        recipes: one per run.
    """

    def __init__(self, recipes: Sequence[Recipe]) -> None:
        shared: dict[Hashable, Dial | None] = {}
        self._of_runs: list[Dial | None] = []
        for recipe in recipes:
            if recipe.schedule.by_result:
                self._of_runs.append(recipe.dial())
            elif recipe.update in shared:
                self._of_runs.append(shared[recipe.update])
            else:
                self._of_runs.append(shared.setdefault(recipe.update, recipe.dial()))

    def of(self, runs: Sequence[int]) -> "Dials":
        """Return the dials of some runs, as they stand."""
        fewer = Dials([])
        fewer._of_runs = [self._of_runs[run] for run in runs]
        return fewer

    def set(self, settings: Sequence[dict[str, Any]]) -> None:
        """Give every run's options, which runs may share, the setting of the moment."""
        for dial, setting in zip(self._of_runs, settings, strict=True):
            if dial is not None:
                dial.set(setting)

    def step(self) -> bool:
        """Go on by one step; tell whether any learning rate can have changed."""
        dials = {id(dial): dial for dial in self._of_runs if dial is not None}
        for dial in dials.values():
            dial.step()
        return bool(dials)

    def evaluated(self, losses: Sequence[float]) -> None:
        """Take note of every run's validation loss."""
        for dial, loss in zip(self._of_runs, losses, strict=True):
            if dial is not None:
                dial.evaluated(loss)
